/** Instants in the zone that the reader chose. All functions are pure; the zone comes in as an argument. */

import { roughDuration } from "./duration";

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, key: string, options: Intl.DateTimeFormatOptions) {
  const id = `${zone}|${key}`;
  let made = formats.get(id);
  if (!made) {
    made = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options });
    formats.set(id, made);
  }
  return made;
}

interface Parts {
  year: string;
  month: string;
  day: string;
  weekday: string;
  hour: string;
  minute: string;
  second: string;
}

function parts(at: number, zone: string): Parts {
  const found: Record<string, string> = {};
  const all = format(zone, "parts", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).formatToParts(at);
  for (const part of all) found[part.type] = part.value;
  return found as unknown as Parts;
}

/** An ISO string or ms as ms. */
export function ms(at: string | number): number {
  return typeof at === "number" ? at : Date.parse(at);
}

/** `GMT+1`, as the zone says at that instant. */
export function offset(at: string | number, zone: string): string {
  const all = format(zone, "offset", { timeZoneName: "shortOffset" }).formatToParts(ms(at));
  const name = all.find((part) => part.type === "timeZoneName")?.value ?? "";
  return /^(GMT|UTC)(\+0)?$/.test(name) ? "UTC" : name.replace("GMT", "UTC");
}

/** `2026-11-22 02:30:12 UTC+1 (Europe/Berlin)`: the whole truth, for titles. */
export function exact(at: string | number, zone: string): string {
  const p = parts(ms(at), zone);
  const where = zone === "UTC" ? "UTC" : `${offset(at, zone)} (${zone})`;
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second} ${where}`;
}

/** `2026-11-22`. */
export function day(at: string | number, zone: string): string {
  const p = parts(ms(at), zone);
  return `${p.year}-${p.month}-${p.day}`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `22 Nov`. */
export function shortDay(at: string | number, zone: string): string {
  const p = parts(ms(at), zone);
  return `${Number(p.day)} ${MONTHS[Number(p.month) - 1] ?? ""}`;
}

/** `22`. */
export function dayOfMonth(at: string | number, zone: string): string {
  return String(Number(parts(ms(at), zone).day));
}

/** `Nov`. */
export function monthName(at: string | number, zone: string): string {
  return MONTHS[Number(parts(ms(at), zone).month) - 1] ?? "";
}

/** `02:30`. */
export function clock(at: string | number, zone: string): string {
  const p = parts(ms(at), zone);
  return `${p.hour}:${p.minute}`;
}

/** `02:30:12`. */
export function clockSeconds(at: string | number, zone: string): string {
  const p = parts(ms(at), zone);
  return `${p.hour}:${p.minute}:${p.second}`;
}

/** `Sun 22 Nov 02:30`; with the year where it is not the year of `now`. */
export function dayTime(at: string | number, zone: string, now: number): string {
  const p = parts(ms(at), zone);
  const month = MONTHS[Number(p.month) - 1] ?? "";
  const year = p.year === parts(now, zone).year ? "" : ` ${p.year}`;
  return `${p.weekday} ${Number(p.day)} ${month}${year} ${p.hour}:${p.minute}`;
}

/** `3 m ago`, `in 2 h 14 m`, `now`. */
export function relative(at: string | number, now: number): string {
  const seconds = (ms(at) - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${roughDuration(seconds)}` : `${roughDuration(-seconds)} ago`;
}

/** Whether `zone` is one that this browser knows. */
export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

export function zones(): string[] {
  const known = Intl.supportedValuesOf("timeZone");
  return known.includes("UTC") ? known : ["UTC", ...known];
}

/** The instant at which a civil day (`2026-11-22`) begins in a zone. */
export function startOfDay(date: string, zone: string): number {
  const wall = Date.parse(`${date}T00:00:00Z`);
  // The offset is looked up at the guess; a second look mends days whose offset changes near midnight.
  let guess = wall;
  for (let i = 0; i < 3; i += 1) {
    const p = parts(guess, zone);
    const shown = Date.parse(`${p.year}-${p.month}-${p.day}T${p.hour}:${p.minute}:${p.second}Z`);
    if (shown === wall) return guess;
    guess += wall - shown;
  }
  // Midnight does not exist that day (the clocks skip it): the first instant of the day.
  return guess;
}

/** The day after, as `2026-11-23`. */
export function nextDay(date: string): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}
