/** The part of a log that is in memory: some pages in a row, each a few hundred lines. Pure. */

import type { LogLine } from "../../api/types";

export interface LogWindow {
  /** In order, none empty. */
  pages: LogLine[][];
  atStart: boolean;
  atEnd: boolean;
  /** Byte from which the next page goes on. */
  next: number;
}

export const PAGE_BYTES = 48 * 1024;
/** With a filter most bytes are only looked through. */
export const SCAN_BYTES = 16 * 1024 * 1024;
/** Pages in memory: about 2,000 lines of ordinary length. */
export const MOST_PAGES = 4;
const PAGE_LINES = 400;

export const EMPTY: LogWindow = { pages: [], atStart: true, atEnd: false, next: 0 };

export const firstLine = (window: LogWindow): LogLine | undefined => window.pages[0]?.[0];
export const lastLine = (window: LogWindow): LogLine | undefined => window.pages.at(-1)?.at(-1);

/** A long answer becomes several pages, so that the far ones can be let go. */
export function paged(items: readonly LogLine[]): LogLine[][] {
  const pages: LogLine[][] = [];
  for (let from = 0; from < items.length; from += PAGE_LINES)
    pages.push(items.slice(from, from + PAGE_LINES));
  return pages;
}

/** Where to go on after `items`, when the answer does not say. */
export function nextAfter(items: readonly LogLine[], said: number | undefined, asked: number) {
  return said ?? Math.max(asked, (items.at(-1)?.offset ?? -1) + 1);
}

/** A fresh window. */
export function opened(
  items: readonly LogLine[],
  next: number | undefined,
  atStart: boolean,
  atEnd: boolean,
): LogWindow {
  return { pages: paged(items), atStart, atEnd, next: nextAfter(items, next, 0) };
}

/** Adds what comes after; lets go of the beginning when there is too much. */
export function appended(
  window: LogWindow,
  items: readonly LogLine[],
  next: number | undefined,
  atEnd: boolean,
): LogWindow {
  const last = lastLine(window)?.offset ?? -1;
  const fresh = items.filter((line) => line.offset > last);
  const tail = window.pages.at(-1);
  let pages = [...window.pages, ...paged(fresh)];
  // A stream brings a line at a time: they fill the last page first.
  if (tail && fresh.length > 0 && tail.length + fresh.length <= PAGE_LINES)
    pages = [...window.pages.slice(0, -1), [...tail, ...fresh]];
  const dropped = Math.max(0, pages.length - MOST_PAGES);
  return {
    pages: pages.slice(dropped),
    atStart: window.atStart && dropped === 0,
    atEnd,
    next: nextAfter(fresh, next, window.next),
  };
}

/** Adds what comes before; lets go of the end when there is too much. */
export function prepended(
  window: LogWindow,
  items: readonly LogLine[],
  atStart: boolean,
): LogWindow {
  const first = firstLine(window)?.offset ?? Number.POSITIVE_INFINITY;
  const fresh = items.filter((line) => line.offset < first);
  const pages = [...paged(fresh), ...window.pages];
  const kept = pages.slice(0, Math.max(MOST_PAGES, 1));
  const cut = pages[kept.length]?.[0];
  return {
    pages: kept,
    atStart,
    atEnd: window.atEnd && !cut,
    next: cut ? cut.offset : window.next,
  };
}

/** Whether the line that begins at this byte is in memory. */
export function holds(window: LogWindow, offset: number): boolean {
  const first = firstLine(window);
  const last = lastLine(window);
  return !!first && !!last && offset >= first.offset && offset <= last.offset;
}

/** The share of the log that lies before a byte. */
export function share(offset: number, bytes: number): number {
  return bytes <= 0 ? 0 : Math.min(1, Math.max(0, offset / bytes));
}

/** A text cut at what was looked for, ASCII case aside as on the server. */
export function marked(text: string, needle: string): { text: string; hit: boolean }[] {
  if (needle === "") return [{ text, hit: false }];
  const low = text.toLowerCase();
  const find = needle.toLowerCase();
  const parts: { text: string; hit: boolean }[] = [];
  let from = 0;
  for (let at = low.indexOf(find); at >= 0; at = low.indexOf(find, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), hit: false });
    parts.push({ text: text.slice(at, at + find.length), hit: true });
    from = at + find.length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), hit: false });
  return parts;
}
