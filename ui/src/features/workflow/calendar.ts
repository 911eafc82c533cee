/** The year as weeks × weekdays. Pure. */

import type { Calendar } from "../../api/types";

export type DayKind = "none" | "ok" | "failed" | "mixed" | "other" | "planned";

export interface Day {
  readonly date: string;
  /** Column: week of the year, from 0. */
  readonly week: number;
  /** Row: 0 is Monday. */
  readonly weekday: number;
  readonly kind: DayKind;
  readonly runs: number;
  readonly failed: number;
  readonly planned: number;
}

const DAY_MS = 86_400_000;

export function kindOf(succeeded: number, failed: number, other: number, planned: number): DayKind {
  if (failed > 0) return succeeded > 0 ? "mixed" : "failed";
  if (succeeded > 0) return "ok";
  if (other > 0) return "other";
  return planned > 0 ? "planned" : "none";
}

export function yearOf(calendar: Calendar): Day[] {
  const ran = new Map(calendar.days.map((day) => [day.date, day]));
  const planned = new Map(calendar.planned.map((day) => [day.date, day.count]));
  const first = Date.UTC(calendar.year, 0, 1);
  const last = Date.UTC(calendar.year, 11, 31);
  const lead = (new Date(first).getUTCDay() + 6) % 7;
  const days: Day[] = [];
  for (let at = first, index = 0; at <= last; at += DAY_MS, index += 1) {
    const date = new Date(at).toISOString().slice(0, 10);
    const day = ran.get(date);
    const { succeeded = 0, failed = 0, other = 0 } = day ?? {};
    const ahead = planned.get(date) ?? 0;
    days.push({
      date,
      week: Math.floor((index + lead) / 7),
      weekday: (index + lead) % 7,
      kind: kindOf(succeeded, failed, other, ahead),
      runs: succeeded + failed + other,
      failed,
      planned: ahead,
    });
  }
  return days;
}

/** The first week of each month, for the labels above. */
export function monthStarts(days: readonly Day[]): { month: number; week: number }[] {
  return days
    .filter((day) => day.date.endsWith("-01"))
    .map((day) => ({ month: Number(day.date.slice(5, 7)) - 1, week: day.week }));
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowUp: -1,
  ArrowDown: 1,
  ArrowLeft: -7,
  ArrowRight: 7,
};

/** Where a key leads from a day of the year. */
export function moveDay(days: readonly Day[], from: string | undefined, key: string) {
  const step = STEPS[key];
  if (step === undefined) return undefined;
  const at = days.findIndex((day) => day.date === from);
  if (at < 0) return [...days].reverse().find((day) => day.runs > 0) ?? days.at(-1);
  return days[Math.max(0, Math.min(days.length - 1, at + step))];
}

export function dayWords(day: Day): string {
  const parts: string[] = [];
  if (day.runs > 0) parts.push(`${day.runs} ${day.runs === 1 ? "run" : "runs"}`);
  if (day.failed > 0) parts.push(`${day.failed} failed`);
  if (day.planned > 0) parts.push(`${day.planned} planned`);
  return `${day.date}: ${parts.join(", ") || "no run"}`;
}
