/** One format of duration for the whole UI: two units, the smaller only where it says something. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `820 ms`, `4.2 s`, `45 s`, `1 m 10 s`, `2 h 14 m`, `3 d 4 h`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "—";
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return two(whole, MINUTE, "m", 1, "s");
  if (whole < DAY) return two(whole, HOUR, "h", MINUTE, "m");
  return two(whole, DAY, "d", HOUR, "h");
}

function two(seconds: number, big: number, bigName: string, small: number, smallName: string) {
  const first = Math.floor(seconds / big);
  const second = Math.floor((seconds % big) / small);
  return second === 0 ? `${first} ${bigName}` : `${first} ${bigName} ${second} ${smallName}`;
}

/** Coarser, for ages and countdowns: nobody reads the seconds of "3 m ago". */
export function roughDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} m`;
  if (whole < 2 * DAY) return two(whole, HOUR, "h", MINUTE, "m");
  return `${Math.floor(whole / DAY)} d`;
}

/** How a duration stands against the usual one; `undefined` where there is nothing to compare. */
export function against(
  seconds: number | null | undefined,
  usual: number | null | undefined,
): "usual" | "longer" | "shorter" | undefined {
  if (seconds == null || usual == null || usual <= 0) return undefined;
  const ratio = seconds / usual;
  if (ratio > 1.5 && seconds - usual > 1) return "longer";
  if (ratio < 0.5 && usual - seconds > 1) return "shorter";
  return "usual";
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1.2 MiB`; whole bytes below a KiB. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `1 task`, `10 tasks`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;
}
