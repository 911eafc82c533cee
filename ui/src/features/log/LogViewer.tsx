import {
  type KeyboardEvent,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import type { LogLine, LogPage } from "../../api/types";
import { ErrorState } from "../../components/Page";
import { useZone } from "../../lib/prefs";
import { Empty, Skeleton } from "../../ui/Feedback";
import { toast } from "../../ui/notes";
import { LINE_CLASS, Lines } from "./Lines";
import { Rail } from "./Rail";
import type { Level, LogRef } from "./source";
import { Toolbar } from "./Toolbar";
import { useLog } from "./useLog";
import { useSearch } from "./useSearch";

interface Props {
  log: LogRef;
  /** What came with the page: the last lines, so that the first screen needs no second request. */
  head?: LogPage | undefined;
  /** The attempt still runs. */
  live: boolean;
  line?: number | undefined;
  onLine?: (line: number) => void;
  compact?: boolean;
  name: string;
}

const EDGE_PX = 600;

/** A log of any size: some pages are in memory, the rail is the whole of it. */
export default function LogViewer({ log, head, live, line, onLine, compact, name }: Props) {
  const zone = useZone();
  const [level, setLevel] = useState<Level>();
  const [text, setText] = useState("");
  const [times, setTimes] = useState(!compact);
  const [wrap, setWrap] = useState(true);
  const [stick, setStick] = useState(live);
  const { state, go, grow, streaming } = useLog({ log, head, line, live, level });
  const { window: shown, info, error, busy, aim } = state;
  const search = useSearch(log, text.trim());
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ from: 0, until: 0 });
  const [at, setAt] = useState<number>();
  const needle = text.trim();

  const look = useCallback(() => {
    const element = box.current;
    const all = element?.getElementsByClassName(LINE_CLASS) as
      | HTMLCollectionOf<HTMLElement>
      | undefined;
    if (!element || !all || all.length === 0) return;
    const first = all[rowAt(all, element.scrollTop)];
    const last = all[rowAt(all, element.scrollTop + element.clientHeight)];
    const from = Number(first?.dataset.offset ?? 0);
    const until = Number(last?.dataset.offset ?? 0);
    setSeen((before) =>
      before.from === from && before.until === until ? before : { from, until },
    );
  }, []);

  const anchor = useRef<{ offset: string; top: number } | undefined>(undefined);
  const keep = useCallback(() => {
    const element = box.current;
    const all = element?.getElementsByClassName(LINE_CLASS) as
      | HTMLCollectionOf<HTMLElement>
      | undefined;
    if (!element || !all || all.length === 0) return;
    const row = all[rowAt(all, element.scrollTop)];
    if (row?.dataset.offset)
      anchor.current = { offset: row.dataset.offset, top: row.offsetTop - element.scrollTop };
  }, []);

  // What was on the screen stays where it was when pages come before it or go.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || shown.pages.length === 0) return;
    const kept = anchor.current;
    if (stick && shown.atEnd) element.scrollTop = element.scrollHeight;
    else if (kept) {
      const row = element.querySelector<HTMLElement>(`[data-offset="${kept.offset}"]`);
      if (row) element.scrollTop = row.offsetTop - kept.top;
    }
    look();
  }, [shown, stick, look]);

  // Where a jump leads.
  useLayoutEffect(() => {
    const element = box.current;
    if (!aim || !element) return;
    if (aim.edge) {
      element.scrollTop = aim.edge === "start" ? 0 : element.scrollHeight;
    } else {
      const row =
        (aim.offset === undefined
          ? null
          : element.querySelector<HTMLElement>(`[data-offset="${aim.offset}"]`)) ??
        (aim.line === undefined
          ? null
          : element.querySelector<HTMLElement>(`[data-line="${aim.line}"]`)) ??
        (aim.offset === undefined ? null : nearest(element, aim.offset));
      if (row) {
        element.scrollTop = Math.max(0, row.offsetTop - element.clientHeight / 3);
        setAt(Number(row.dataset.offset));
      }
    }
    keep();
    look();
  }, [aim, look, keep]);

  const frame = useRef(0);
  const onScroll = () => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      const element = box.current;
      if (!element) return;
      keep();
      look();
      const below = element.scrollHeight - element.scrollTop - element.clientHeight;
      if (stick && below > 40) setStick(false);
      if (below < EDGE_PX) grow("more");
      else if (element.scrollTop < EDGE_PX) grow("less");
    });
  };
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  // A window that does not fill the view cannot be scrolled: it grows by itself.
  useEffect(() => {
    const element = box.current;
    if (!element || busy || shown.pages.length === 0) return;
    if (element.scrollHeight <= element.clientHeight + EDGE_PX) {
      if (!shown.atStart) grow("less");
      else if (!shown.atEnd) grow("more");
    } else if (element.scrollTop < EDGE_PX && !shown.atStart) grow("less");
  }, [shown, busy, grow]);

  const jump = async (direction: "next" | "previous") => {
    const from = search.match?.offset ?? (direction === "next" ? seen.from - 1 : seen.until);
    const hit = await search.find(direction, from);
    if (hit) {
      setStick(false);
      await go({ to: "offset", offset: hit.offset, line: hit.line });
    }
  };
  const follow = () => {
    setStick(true);
    void go({ to: "end" });
  };
  const leave = (target: Parameters<typeof go>[0]) => {
    setStick(false);
    void go(target);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = new Map<string, () => void>([
      ["n", () => void jump("next")],
      ["N", () => void jump("previous")],
      ["g", () => leave({ to: "start" })],
      ["G", () => leave({ to: "end" })],
      ["f", follow],
    ]);
    const act = acts.get(event.key);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  const copy = useCallback(
    (chosen: LogLine) => {
      setAt(chosen.offset);
      if (chosen.line == null) return;
      const link = new URL(window.location.href);
      link.searchParams.set("attempt", String(log.attempt));
      link.searchParams.set("line", String(chosen.line));
      onLine?.(chosen.line);
      void navigator.clipboard?.writeText(link.href).then(
        () => toast(`Link to line ${chosen.line} copied`),
        () => undefined,
      );
    },
    [log.attempt, onLine],
  );

  const first = info?.firstError;
  return (
    <section
      aria-label={name}
      data-log=""
      className="flex min-h-0 min-w-0 flex-1 flex-col bg-surface max-md:min-h-[75dvh]"
    >
      <Toolbar
        log={log}
        info={info}
        text={text}
        onText={setText}
        onFind={(direction) => void jump(direction)}
        note={search.note}
        match={search.match?.line}
        level={level}
        onLevel={(next) => {
          setStick(false);
          setLevel(next);
        }}
        times={times}
        onTimes={setTimes}
        wrap={wrap}
        onWrap={setWrap}
        live={live && !info?.complete}
        following={stick && streaming}
        onFollow={follow}
        onStart={() => leave({ to: "start" })}
        onEnd={() => leave({ to: "end" })}
        onError={
          first ? () => leave({ to: "offset", offset: first.offset, line: first.line }) : undefined
        }
        onGoTo={(chosen) => leave({ to: "line", line: chosen })}
        compact={compact ?? false}
      />
      {error !== undefined && <ErrorState error={error} onRetry={() => void go({ to: "end" })} />}
      <div className="flex min-h-0 flex-1">
        <div
          ref={box}
          role="log"
          aria-label={`Lines of ${name}`}
          aria-live="off"
          aria-busy={busy}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take focus
          tabIndex={0}
          onScroll={onScroll}
          onKeyDown={onKey}
          className="relative min-h-0 min-w-0 flex-1 overflow-auto overscroll-contain py-1 font-mono text-xs [overflow-anchor:none] [scrollbar-width:none] max-md:h-[65dvh] max-md:flex-auto"
        >
          {shown.pages.length === 0 && busy && <LogSkeleton />}
          {shown.pages.length === 0 && !busy && error === undefined && (
            <div className="font-sans">
              <Empty title={level ? "No line of this weight" : "The log is empty"}>
                {live ? "Lines show up here as the task writes them." : undefined}
              </Empty>
            </div>
          )}
          {shown.pages.map((page) => (
            <Lines
              key={page[0]?.offset}
              lines={page}
              zone={zone}
              times={times}
              wrap={wrap}
              needle={needle}
              at={at}
              onLine={copy}
            />
          ))}
        </div>
        {info && info.bytes > 0 && (
          <Rail
            bytes={info.bytes}
            from={shown.atStart && shown.atEnd && seen.from === 0 ? 0 : seen.from}
            until={Math.max(seen.until, seen.from)}
            marks={[
              ...(first ? [{ offset: first.offset, tone: "bad" as const }] : []),
              ...(search.match ? [{ offset: search.match.offset, tone: "warn" as const }] : []),
            ]}
            onSeek={(offset) => leave({ to: "offset", offset })}
          />
        )}
      </div>
    </section>
  );
}

/** Index of the row at a height: rows are in order, so it is found by halving. */
function rowAt(all: HTMLCollectionOf<HTMLElement>, top: number): number {
  let low = 0;
  let high = all.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((all[middle]?.offsetTop ?? 0) <= top) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The row at or before a byte. */
function nearest(element: HTMLElement, offset: number): HTMLElement | null {
  const all = element.getElementsByClassName(LINE_CLASS) as HTMLCollectionOf<HTMLElement>;
  let found: HTMLElement | null = null;
  for (const row of all) {
    if (Number(row.dataset.offset) > offset) break;
    found = row;
  }
  return found ?? all[0] ?? null;
}

function LogSkeleton() {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col gap-1 px-4 py-1">
      {Array.from({ length: 16 }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <Skeleton key={i} className={["w-3/5", "w-2/5", "w-4/5", "w-1/2"][i % 4] ?? "w-1/2"} />
      ))}
    </div>
  );
}
