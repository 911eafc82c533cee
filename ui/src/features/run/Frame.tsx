import type { ReactNode } from "react";
import { useTitle } from "../../components/Page";

interface Props {
  title: string;
  crumbs: ReactNode;
  facts?: ReactNode;
  /** What happened, in a sentence. */
  sentence: ReactNode;
  actions?: ReactNode;
  tabs: ReactNode;
  children: ReactNode;
}

/**
 * Run and task pages: one line of facts and acts, one sentence, the tabs: 96 px, then content. The window is filled
 * and the content scrolls by itself on a desk; on a phone all of it is one column.
 */
export function Frame({ title, crumbs, facts, sentence, actions, tabs, children }: Props) {
  useTitle(title);
  return (
    <div className="flex min-w-0 flex-col md:h-dvh">
      <header className="shrink-0 bg-surface">
        <div className="flex flex-wrap items-center gap-x-4 gap-y-1 px-4 pt-2 md:h-10 md:flex-nowrap md:px-6">
          <h1 className="flex min-w-0 flex-wrap items-center gap-x-2 font-semibold text-base [overflow-wrap:anywhere] md:flex-nowrap md:whitespace-nowrap">
            {crumbs}
          </h1>
          {facts && (
            <div className="flex min-w-0 flex-1 flex-wrap items-center gap-x-4 gap-y-0.5 text-ink-2 text-xs max-md:basis-full md:h-6 md:overflow-hidden md:leading-6">
              {facts}
            </div>
          )}
          {actions && <div className="hidden shrink-0 items-center gap-2 md:flex">{actions}</div>}
        </div>
        <div className="px-4 text-ink text-sm max-md:py-1 md:h-5 md:overflow-hidden md:px-6">
          {sentence}
        </div>
        {actions && <div className="flex flex-wrap gap-2 px-4 pb-1 md:hidden">{actions}</div>}
        <div className="px-2 md:px-4">{tabs}</div>
      </header>
      <div className="flex min-w-0 flex-1 flex-col md:min-h-0 md:overflow-hidden">{children}</div>
    </div>
  );
}

/** One fact of the header. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <span className="inline-flex items-baseline gap-1 whitespace-nowrap">
      <span className="text-ink-3">{name}</span>
      <span className="text-ink-2">{children}</span>
    </span>
  );
}

/** Text whose parts in backticks are names. */
export function Named({ text }: { text: string }) {
  return text.split("`").map((part, index) =>
    index % 2 ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence
      <code key={index} className="rounded-sm bg-sunken px-1 font-mono text-xs">
        {part}
      </code>
    ) : (
      part
    ),
  );
}
