import { useCallback, useEffect, useRef, useState } from "react";
import type { LogLine, LogPage } from "../../api/types";
import { type Level, type LogInfo, type LogRef, type LogSlice, readLog, streamUrl } from "./source";
import {
  appended,
  EMPTY,
  firstLine,
  holds,
  type LogWindow,
  opened,
  PAGE_BYTES,
  prepended,
  SCAN_BYTES,
} from "./window";

/** Where to look: at a byte, at a line, at the beginning, at the end. */
export type Target =
  | { to: "offset"; offset: number; line?: number | undefined }
  | { to: "line"; line: number }
  | { to: "start" }
  | { to: "end" };

/** What the view scrolls to after a change; `seq` makes each ask a new one. */
export interface Aim {
  seq: number;
  offset?: number | undefined;
  line?: number | undefined;
  edge?: "start" | "end";
}

interface Options {
  log: LogRef;
  head: LogPage | undefined;
  line: number | undefined;
  live: boolean;
  level: Level | undefined;
}

export interface LogState {
  window: LogWindow;
  info: LogInfo | undefined;
  error: unknown;
  busy: boolean;
  aim: Aim | undefined;
}

const infoOfHead = (head: LogPage): LogInfo => ({
  bytes: head.bytes,
  complete: head.complete,
  truncated: false,
  ...(head.lines == null ? {} : { lines: head.lines }),
  ...(head.first_error ? { firstError: head.first_error } : {}),
});

const TAIL = 200;
/** A filter may answer with thousands of lines; so many are taken at a time. */
const MOST_LINES = 1_000;

/** Loads, grows and follows the window of one log. */
export function useLog({ log, head, line, live, level }: Options) {
  const [state, setState] = useState<LogState>(() => {
    const info = head ? infoOfHead(head) : undefined;
    const start = head && usable(head, line) ? openedHead(head) : EMPTY;
    return {
      window: start,
      info,
      error: undefined,
      busy: start === EMPTY,
      aim: start === EMPTY ? undefined : firstAim(head, line),
    };
  });
  const latest = useRef(state);
  latest.current = state;
  const seq = useRef(1);
  const asking = useRef<AbortController | undefined>(undefined);
  const path = JSON.stringify(log);
  const logRef = useRef(log);
  logRef.current = log;

  const ask = useCallback(
    async (
      read: (signal: AbortSignal) => Promise<Partial<LogState> | undefined>,
      quietly = false,
    ): Promise<Partial<LogState> | undefined> => {
      asking.current?.abort();
      const control = new AbortController();
      asking.current = control;
      if (!quietly) setState((before) => ({ ...before, busy: true, error: undefined }));
      try {
        const change = await read(control.signal);
        if (!control.signal.aborted)
          setState((before) => ({ ...before, busy: false, ...(change ?? {}) }));
        return change;
      } catch (error) {
        if (!control.signal.aborted) setState((before) => ({ ...before, busy: false, error }));
        return undefined;
      } finally {
        if (asking.current === control) asking.current = undefined;
      }
    },
    [],
  );

  const aimAt = useCallback((aim: Omit<Aim, "seq">): Aim => {
    seq.current += 1;
    return { seq: seq.current, ...aim };
  }, []);

  const go = useCallback(
    (target: Target): Promise<Partial<LogState> | undefined> => {
      const { window } = latest.current;
      if (target.to === "offset" && holds(window, target.offset)) {
        setState((before) => ({
          ...before,
          aim: aimAt({ offset: target.offset, line: target.line }),
        }));
        return Promise.resolve(undefined);
      }
      if (target.to === "start" && window.atStart && window.pages.length > 0) {
        setState((before) => ({ ...before, aim: aimAt({ edge: "start" }) }));
        return Promise.resolve(undefined);
      }
      return ask(async (signal) => {
        const [slice, opening] = await openAt(logRef.current, target, level, signal);
        return {
          window: opening,
          info: slice.info,
          aim: aimAt(
            target.to === "offset"
              ? { offset: target.offset, line: target.line }
              : target.to === "line"
                ? { line: target.line }
                : { edge: target.to },
          ),
        };
      });
    },
    [ask, aimAt, level],
  );

  // The first look, and again when the log or the filter is another one.
  const begun = useRef("");
  // biome-ignore lint/correctness/useExhaustiveDependencies: `path` and `level` say which log; the rest is read once
  useEffect(() => {
    const key = `${path}|${level ?? ""}`;
    if (begun.current === key) return;
    const first = begun.current === "";
    begun.current = key;
    if (first && latest.current.window !== EMPTY) return;
    void (async () => {
      if (level) return go({ to: "end" });
      if (line !== undefined) return go({ to: "line", line });
      const known = head?.first_error;
      if (first && known) return go({ to: "offset", offset: known.offset, line: known.line });
      const found = (await go({ to: "end" }))?.info?.firstError;
      if (found && !live) return go({ to: "offset", offset: found.offset, line: found.line });
    })();
  }, [path, level]);

  const grow = useCallback(
    (where: "more" | "less"): void => {
      const { window, busy } = latest.current;
      if (busy || asking.current || window.pages.length === 0) return;
      if (where === "more" ? window.atEnd : window.atStart) return;
      void ask(async (signal) => {
        if (where === "more") {
          const slice = await forward(logRef.current, window.next, level, signal);
          return {
            window: appended(window, slice.items, slice.next, slice.next === undefined),
            info: slice.info,
          };
        }
        const first = firstLine(window)?.offset ?? 0;
        const [slice, atStart] = await backward(logRef.current, first, level, signal);
        return { window: prepended(window, slice.items, atStart), info: slice.info };
      }, true);
    },
    [ask, level],
  );

  // What is being written comes by a stream, as long as its end is on the screen.
  const streaming = live && state.window.atEnd && !level && !state.busy;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `path` says which log
  useEffect(() => {
    if (!streaming) return;
    const source = new EventSource(streamUrl(logRef.current, latest.current.window.next));
    let batch: LogLine[] = [];
    let next: number | undefined;
    let timer = 0;
    const flush = () => {
      timer = 0;
      const items = batch;
      batch = [];
      setState((before) => ({
        ...before,
        window: appended(before.window, items, next, true),
        info: before.info && { ...before.info, bytes: Math.max(before.info.bytes, next ?? 0) },
      }));
    };
    source.addEventListener("line", (event) => {
      const message = event as MessageEvent<string>;
      try {
        batch.push(JSON.parse(message.data) as LogLine);
      } catch {
        return;
      }
      next = Number(message.lastEventId) || next;
      if (!timer) timer = window.setTimeout(flush, 120);
    });
    source.addEventListener("end", () => {
      source.close();
      setState((before) => ({
        ...before,
        info: before.info && { ...before.info, complete: true },
      }));
    });
    return () => {
      source.close();
      window.clearTimeout(timer);
      if (batch.length > 0) flush();
    };
  }, [streaming, path]);

  useEffect(
    () => () => {
      asking.current?.abort();
      begun.current = "";
    },
    [],
  );

  return { state, go, grow, streaming };
}

/** The lines that came with the page: the end of the log, or those around its first error. */
function openedHead(head: LogPage): LogWindow {
  const atStart = (head.items[0]?.offset ?? 0) === 0;
  return opened(head.items, head.next, atStart, head.next >= head.bytes);
}

/** The lines that came with the page are enough if what is looked for is among them. */
function usable(head: LogPage, line: number | undefined): boolean {
  const first = head.items[0];
  if (!first) return false;
  if (line !== undefined) return head.items.some((each) => each.line === line);
  const error = head.first_error;
  return !error || head.items.some((each) => each.offset === error.offset);
}

function firstAim(head: LogPage | undefined, line: number | undefined): Aim {
  if (line !== undefined) return { seq: 1, line };
  if (head?.first_error)
    return { seq: 1, offset: head.first_error.offset, line: head.first_error.line };
  return { seq: 1, edge: "end" };
}

async function openAt(
  log: LogRef,
  target: Target,
  level: Level | undefined,
  signal: AbortSignal,
): Promise<[LogSlice, LogWindow]> {
  if (target.to === "line" && !level) {
    const slice = await readLog(log, { around: target.line }, signal);
    return [slice, opened(slice.items, slice.next, isStart(slice), false)];
  }
  if (target.to === "end" && !level) {
    const slice = await readLog(log, { tail: TAIL }, signal);
    const window = opened(slice.items, slice.next ?? slice.info.bytes, isStart(slice), true);
    return [slice, { ...window, next: Math.max(window.next, slice.info.bytes) }];
  }
  if (target.to === "end") {
    const known = await readLog(log, { tail: 1 }, signal);
    const [slice, atStart] = await backward(log, known.info.bytes, level, signal);
    return [
      slice,
      { ...opened(slice.items, known.info.bytes, atStart, true), next: known.info.bytes },
    ];
  }
  const offset = target.to === "offset" ? Math.max(0, target.offset - PAGE_BYTES / 2) : 0;
  const slice = await forward(log, offset, level, signal);
  return [slice, opened(slice.items, slice.next, offset === 0, slice.next === undefined)];
}

const isStart = (slice: LogSlice) => (slice.items[0]?.offset ?? 0) === 0;

/** The next lines from a byte on; a filter may have to look far before it finds any. */
async function forward(
  log: LogRef,
  from: number,
  level: Level | undefined,
  signal: AbortSignal,
): Promise<LogSlice> {
  let offset = from;
  for (let limit = level ? SCAN_BYTES : PAGE_BYTES; ; limit *= 2) {
    const slice = await readLog(log, { offset, limit, level }, signal);
    const next = slice.next ?? (slice.items.length === 0 ? undefined : guess(slice));
    const end = next === undefined || next >= slice.info.bytes;
    const surplus = slice.items[MOST_LINES];
    if (surplus) return { ...slice, items: slice.items.slice(0, MOST_LINES), next: surplus.offset };
    if (slice.items.length > 0 || end) {
      const { next: _said, ...rest } = slice;
      return end ? rest : { ...rest, next };
    }
    offset = next;
  }
}

/** Without a word from the server: one byte after the beginning of the last line is inside it. */
const guess = (slice: LogSlice) => (slice.items.at(-1)?.offset ?? 0) + 1;

/** The lines before a byte, and whether they are the first. */
async function backward(
  log: LogRef,
  before: number,
  level: Level | undefined,
  signal: AbortSignal,
): Promise<[LogSlice, boolean]> {
  let until = before;
  for (let limit = level ? 256 * 1024 : PAGE_BYTES; ; limit = Math.min(limit * 4, SCAN_BYTES)) {
    const offset = Math.max(0, until - limit);
    const items: LogLine[] = [];
    let slice: LogSlice | undefined;
    for (let at: number | undefined = offset; at !== undefined && at < until; ) {
      slice = await readLog(log, { offset: at, limit: until - at, level }, signal);
      items.push(...slice.items.filter((each) => each.offset < until));
      at = slice.next !== undefined && slice.next > at ? slice.next : undefined;
    }
    if (slice && (items.length > 0 || offset === 0))
      return [
        { ...slice, items: items.slice(-MOST_LINES) },
        offset === 0 && items.length <= MOST_LINES,
      ];
    if (!slice) return [await readLog(log, { offset: 0, limit: 1, level }, signal), true];
    until = offset;
  }
}
