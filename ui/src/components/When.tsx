import { useNow } from "../lib/clock";
import { useZone } from "../lib/prefs";
import { dayTime, exact, relative } from "../lib/time";
import { cx } from "../ui/cx";

interface Props {
  at: string;
  className?: string;
}

/** "3 m ago", with the exact time in the chosen zone on hover. */
export function RelativeTime({ at, className }: Props) {
  const now = useNow();
  const zone = useZone();
  return (
    <time dateTime={at} title={exact(at, zone)} className={cx("num", className)}>
      {relative(at, now)}
    </time>
  );
}

/** "Sun 22 Nov 02:30" in the chosen zone, with the exact time on hover. */
export function DayTime({ at, className }: Props) {
  const now = useNow(60_000);
  const zone = useZone();
  return (
    <time dateTime={at} title={exact(at, zone)} className={cx("num", className)}>
      {dayTime(at, zone, now)}
    </time>
  );
}
