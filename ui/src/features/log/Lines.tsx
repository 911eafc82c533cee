import { memo } from "react";
import type { LogLine } from "../../api/types";
import { bytes } from "../../lib/duration";
import { clockSeconds, exact } from "../../lib/time";
import { cx } from "../../ui/cx";
import { marked } from "./window";

export const LINE_CLASS = "log-line";

const LEVELS = {
  debug: { letter: "D", look: "text-ink-3", word: "debug" },
  info: { letter: "I", look: "text-ink-3", word: "info" },
  warn: { letter: "W", look: "text-warn font-semibold", word: "warning" },
  error: { letter: "E", look: "text-bad font-semibold", word: "error" },
} as const;

/** Longer lines are cut on the screen: a browser lays out no megabyte in one row. The download has all of it. */
const LONGEST = 8_000;

interface Props {
  lines: readonly LogLine[];
  zone: string;
  times: boolean;
  wrap: boolean;
  /** Marks what was searched. */
  needle: string;
  /** The line that the URL, a search or the first error points at. */
  at: number | undefined;
  onLine: (line: LogLine) => void;
}

/** One page of lines; it is drawn again only when something about it changes. */
export const Lines = memo(function Lines({ lines, zone, times, wrap, needle, at, onLine }: Props) {
  return lines.map((line) => {
    const level = LEVELS[line.level];
    const here = line.offset === at;
    return (
      <div
        key={line.offset}
        data-offset={line.offset}
        data-line={line.line ?? undefined}
        className={cx(
          LINE_CLASS,
          "flex min-w-full items-start gap-x-3 border-l-2 pr-4 leading-5",
          wrap ? "" : "w-max",
          here ? "border-ink" : "border-transparent",
          line.level === "error" ? "bg-bad-soft" : here && "bg-sunken",
        )}
      >
        <button
          type="button"
          tabIndex={-1}
          onClick={() => onLine(line)}
          aria-label={line.line == null ? "Link to this place" : `Link to line ${line.line}`}
          className="num w-14 shrink-0 select-none text-right text-2xs text-ink-3 leading-5 hover:text-ink hover:underline max-md:w-10"
        >
          {line.line ?? "·"}
        </button>
        {times && (
          <time
            dateTime={line.at ?? undefined}
            title={line.at ? exact(line.at, zone) : undefined}
            className="num w-15 shrink-0 select-none text-2xs text-ink-3 leading-5 max-md:hidden"
          >
            {line.at ? clockSeconds(line.at, zone) : ""}
          </time>
        )}
        <span
          title={`${level.word}, ${line.stream}`}
          className={cx("w-3 shrink-0 select-none", level.look)}
        >
          {level.letter}
        </span>
        <span
          className={cx(
            "min-w-0",
            wrap ? "whitespace-pre-wrap [overflow-wrap:anywhere]" : "whitespace-pre",
            line.level === "debug" ? "text-ink-2" : "text-ink",
          )}
        >
          <Text text={line.text} needle={needle} />
        </span>
      </div>
    );
  });
});

function Text({ text, needle }: { text: string; needle: string }) {
  const shown = text.length > LONGEST ? text.slice(0, LONGEST) : text;
  return (
    <>
      {needle === ""
        ? shown
        : marked(shown, needle).map((part, index) =>
            part.hit ? (
              // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one line
              <mark key={index} className="rounded-sm bg-warn-soft text-ink outline outline-warn">
                {part.text}
              </mark>
            ) : (
              part.text
            ),
          )}
      {text.length > LONGEST && (
        <span className="text-ink-3">
          {" "}
          … {bytes(text.length)} in this line; the download has all
        </span>
      )}
    </>
  );
}
