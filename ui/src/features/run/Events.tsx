import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import type { RunEvent } from "../../api/types";
import { useZone } from "../../lib/prefs";
import { clockSeconds, exact } from "../../lib/time";
import { cx } from "../../ui/cx";
import { Empty, SkeletonRows } from "../../ui/Feedback";
import { SearchInput } from "../../ui/Field";
import { eventWords, type Said } from "./eventWords";
import { taskLink } from "./links";

interface Line extends Said {
  key: string;
  version: number;
  at: string;
  actor: string;
}

function linesOf(items: readonly RunEvent[]): Line[] {
  return items.flatMap((commit) =>
    commit.events.map((event, index) => ({
      ...eventWords(event),
      key: `${commit.version}-${index}`,
      version: commit.version,
      at: commit.at,
      actor: commit.actor,
    })),
  );
}

const TONES = { plain: "text-ink", bad: "text-bad", ok: "text-ink" } as const;

/** The run's own log: each commit, oldest first, in words. */
export function Events({ run, items }: { run: string; items: readonly RunEvent[] | undefined }) {
  const zone = useZone();
  const [search, setSearch] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => linesOf(items ?? []), [items]);
  const shown = useMemo(() => {
    const words = search.toLowerCase();
    return words ? lines.filter((line) => line.text.toLowerCase().includes(words)) : lines;
  }, [lines, search]);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => 28,
    overscan: 20,
    getItemKey: (index) => shown[index]?.key ?? index,
  });
  if (!items) return <SkeletonRows rows={12} height={28} />;
  return (
    <div className="flex min-h-0 flex-1 flex-col bg-surface">
      <div className="flex items-center gap-4 border-line border-b px-4 py-1.5 md:px-6">
        <SearchInput
          label="Filter events"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
          className="w-full max-w-72"
        />
        <span className="num text-ink-3 text-xs">
          {search ? `${shown.length} of ${lines.length} events` : `${lines.length} events`}
        </span>
      </div>
      {shown.length === 0 && (
        <Empty title={lines.length === 0 ? "No event yet" : "No event holds these words"} />
      )}
      <section
        ref={box}
        aria-label="Events, oldest first"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take focus
        tabIndex={0}
        className="min-h-0 flex-1 overflow-y-auto max-md:h-[70dvh] max-md:flex-none"
      >
        <div className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const line = shown[item.index];
            if (!line) return null;
            return (
              <div
                key={item.key}
                ref={rows.measureElement}
                data-index={item.index}
                style={{ transform: `translateY(${item.start}px)` }}
                className="absolute inset-x-0 top-0 flex min-h-7 items-baseline gap-x-4 border-line border-b px-4 py-1 text-xs max-md:flex-wrap md:px-6"
              >
                <span className="num w-10 shrink-0 text-right text-ink-3">{line.version}</span>
                <time
                  dateTime={line.at}
                  title={exact(line.at, zone)}
                  className="num w-16 shrink-0 text-ink-2"
                >
                  {clockSeconds(line.at, zone)}
                </time>
                <span
                  className={cx(
                    "min-w-0 flex-1 [overflow-wrap:anywhere] max-md:basis-full",
                    TONES[line.tone],
                  )}
                >
                  {line.task ? (
                    <Link
                      {...taskLink(run, line.task, line.mapIndex)}
                      className="text-current no-underline hover:underline"
                    >
                      {line.text}
                    </Link>
                  ) : (
                    line.text
                  )}
                </span>
                <span className="shrink-0 text-ink-3">{line.actor}</span>
              </div>
            );
          })}
        </div>
      </section>
    </div>
  );
}
