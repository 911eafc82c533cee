import { useNow } from "../lib/clock";
import { against, duration } from "../lib/duration";
import { ms } from "../lib/time";
import { cx } from "../ui/cx";

interface Props {
  seconds?: number | null | undefined;
  /** The median to compare with; shown beside the figure. */
  usual?: number | null | undefined;
  className?: string;
  /** Still counting: it is no news that it is shorter than usual so far. */
  live?: boolean;
}

/** "1 m 10 s, usual 1 m 35 s"; the comparison becomes ink where it is far off. */
export function Duration({ seconds, usual, className, live }: Props) {
  if (seconds === null || seconds === undefined) return <span className={className}>—</span>;
  const verdict = against(seconds, usual);
  const off = verdict === "longer" || (verdict === "shorter" && !live);
  return (
    <span className={cx("num", className)}>
      {duration(seconds)}
      {usual != null && (
        <span className={off ? "font-medium text-ink" : "text-ink-3"}>
          , usual {duration(usual)}
        </span>
      )}
    </span>
  );
}

/** Counts up from `since`, each second. */
export function Elapsed({
  since,
  usual,
  className,
}: { since: string } & Omit<Props, "seconds" | "live">) {
  const now = useNow(1_000);
  const seconds = Math.max(0, (now - ms(since)) / 1000);
  return (
    <Duration
      live
      seconds={seconds < 1 ? 0 : Math.floor(seconds)}
      usual={usual}
      {...(className ? { className } : {})}
    />
  );
}
