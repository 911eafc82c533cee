import { useCallback, useEffect, useRef, useState } from "react";
import type { LogLine } from "../../api/types";
import { type LogRef, readLog } from "./source";
import { SCAN_BYTES } from "./window";

export interface Match {
  offset: number;
  /** Absent where nobody has counted the lines before it. */
  line?: number;
}

interface Found {
  match?: Match | undefined;
  /** What to say: searching, nothing further. */
  note: string;
}

/** Looks through the whole log on the server, a piece at a time, from where one is. */
export function useSearch(log: LogRef, text: string) {
  const [found, setFound] = useState<Found>({ note: "" });
  const asking = useRef<AbortController | undefined>(undefined);
  const path = JSON.stringify(log);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another log or text has other matches
  useEffect(() => {
    asking.current?.abort();
    setFound({ note: "" });
  }, [path, text]);
  useEffect(() => () => asking.current?.abort(), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `path` says which log
  const find = useCallback(
    async (direction: "next" | "previous", from: number): Promise<Match | undefined> => {
      if (text === "") return undefined;
      asking.current?.abort();
      const control = new AbortController();
      asking.current = control;
      const tell = (share: number) =>
        setFound((before) => ({ ...before, note: `searching, ${Math.floor(share * 100)} %` }));
      try {
        const hit =
          direction === "next"
            ? await forwards(log, text, from + 1, tell, control.signal)
            : await backwards(log, text, from, tell, control.signal);
        if (control.signal.aborted) return undefined;
        if (!hit) {
          const way = direction === "next" ? "below" : "above";
          setFound((before) => ({ ...before, note: `no match ${way}` }));
          return undefined;
        }
        const match = { offset: hit.offset, ...(hit.line == null ? {} : { line: hit.line }) };
        setFound({ match, note: "" });
        return match;
      } catch (error) {
        if (!control.signal.aborted)
          setFound({ note: error instanceof Error ? error.message : "the search failed" });
        return undefined;
      }
    },
    [path, text],
  );
  return { ...found, find };
}

type Tell = (share: number) => void;

async function forwards(
  log: LogRef,
  search: string,
  from: number,
  tell: Tell,
  signal: AbortSignal,
): Promise<LogLine | undefined> {
  for (let offset = Math.max(0, from); ; ) {
    const slice = await readLog(log, { search, offset, limit: SCAN_BYTES }, signal);
    const hit = slice.items.find((line) => line.offset >= from);
    if (hit) return hit;
    const next = slice.next;
    if (next === undefined || next <= offset || next >= slice.info.bytes) return undefined;
    offset = next;
    tell(offset / slice.info.bytes);
  }
}

async function backwards(
  log: LogRef,
  search: string,
  before: number,
  tell: Tell,
  signal: AbortSignal,
): Promise<LogLine | undefined> {
  let until = before;
  for (let span = 256 * 1024; until > 0; span = Math.min(span * 4, SCAN_BYTES)) {
    const offset = Math.max(0, until - span);
    let hit: LogLine | undefined;
    for (let at: number | undefined = offset; at !== undefined && at < until; ) {
      const slice = await readLog(log, { search, offset: at, limit: until - at }, signal);
      hit = slice.items.filter((line) => line.offset < until).at(-1) ?? hit;
      at = slice.next !== undefined && slice.next > at ? slice.next : undefined;
    }
    if (hit) return hit;
    until = offset;
    tell(1 - until / Math.max(before, 1));
  }
  return undefined;
}
