import { useMemo } from "react";
import { cx } from "../../ui/cx";
import { Empty } from "../../ui/Feedback";
import { type DiffLine, diffLines, hunks, sideBySide } from "./diff";

interface Props {
  before: string;
  after: string;
  split: boolean;
}

/** What changed between two versions; the sign in front says it without the colour. */
export function Diff({ before, after, split }: Props) {
  const parts = useMemo(() => hunks(diffLines(before, after)), [before, after]);
  if (parts.length === 0) return <Empty title="The two versions are the same, line by line" />;
  return (
    <section
      aria-label="Difference of the two versions"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take focus
      tabIndex={0}
      className="h-full overflow-auto py-2 font-mono text-xs"
    >
      {parts.map((part) => (
        <div key={`${part.lines[0]?.before}:${part.lines[0]?.after}:${part.skipped}`}>
          {part.skipped > 0 && (
            <p className="bg-sunken px-4 py-1 font-sans text-ink-3">
              {part.skipped} unchanged {part.skipped === 1 ? "line" : "lines"}
            </p>
          )}
          {split ? (
            <div className="grid grid-cols-2">
              {sideBySide(part.lines).map(({ left, right }, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: rows of a diff never move
                <div key={index} className="contents">
                  <Line line={left} side="before" />
                  <Line line={right} side="after" />
                </div>
              ))}
            </div>
          ) : (
            part.lines.map((line) => <Line key={`${line.before}:${line.after}`} line={line} />)
          )}
        </div>
      ))}
    </section>
  );
}

const SIGN = { same: " ", added: "+", removed: "−" } as const;

function Line({ line, side }: { line: DiffLine | undefined; side?: "before" | "after" }) {
  if (!line) return <div className="bg-sunken" />;
  const numbers = side ? [line[side]] : [line.before, line.after];
  return (
    <div
      className={cx(
        "flex min-w-0 whitespace-pre leading-5",
        line.kind === "added" && "bg-ok-soft",
        line.kind === "removed" && "bg-bad-soft",
      )}
    >
      {numbers.map((n, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: one number a side
        <span key={index} className="w-10 shrink-0 select-none pr-2 text-right text-ink-3">
          {n}
        </span>
      ))}
      <span className="w-4 shrink-0 select-none font-semibold">{SIGN[line.kind]}</span>
      <span className="min-w-0 overflow-hidden text-ellipsis pr-4">{line.text}</span>
    </div>
  );
}
