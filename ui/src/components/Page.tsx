import type { ReactNode } from "react";
import { useEffect } from "react";
import { ApiError } from "../lib/errors";
import { Button } from "../ui/Button";
import { cx } from "../ui/cx";
import { ErrorNote } from "../ui/Feedback";

/** Sets the title of the tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Updraft`;
  }, [title]);
}

interface Props {
  title: string;
  /** What stands before the heading in place of it: state, breadcrumb. */
  heading?: ReactNode;
  facts?: ReactNode;
  actions?: ReactNode;
  tabs?: ReactNode;
  children: ReactNode;
  /** Content that keeps its own scrolling fills the window. */
  fill?: boolean;
}

/** Heading, one line of facts, acts at the right: at most 96 px before the content. */
export function Page({ title, heading, facts, actions, tabs, children, fill }: Props) {
  useTitle(title);
  return (
    <div className={cx("flex min-w-0 flex-col", fill && "md:h-dvh")}>
      <header className="bg-surface">
        <div
          className={cx(
            "flex flex-wrap items-center gap-x-4 gap-y-2 px-4 pt-2 md:px-6",
            !tabs && "border-line border-b pb-2",
          )}
        >
          <div className="flex min-h-8 min-w-0 flex-1 flex-wrap items-center gap-x-4 gap-y-0.5 max-md:basis-full">
            <h1
              className={cx(
                "font-semibold text-lg",
                heading ? "min-w-0 [overflow-wrap:anywhere] md:max-w-3/5" : "shrink-0",
              )}
            >
              {heading ?? title}
            </h1>
            {facts && (
              <div className="flex min-w-0 flex-1 flex-wrap items-center gap-x-4 gap-y-0.5 text-ink-2 text-sm max-md:basis-full">
                {facts}
              </div>
            )}
          </div>
          {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
        </div>
        {tabs && <div className="mt-1 px-2 md:px-4">{tabs}</div>}
      </header>
      <div className={cx("min-w-0 flex-1", fill && "md:min-h-0 md:overflow-hidden")}>
        {children}
      </div>
    </div>
  );
}

/** A block of a page with its own heading. */
export function Section({
  title,
  about,
  actions,
  children,
  className,
}: {
  title: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
}) {
  return (
    <section className={cx("min-w-0 rounded-lg border border-line bg-surface", className)}>
      <header className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 border-line border-b px-4 py-1">
        <h2 className="font-semibold text-ink text-sm">{title}</h2>
        {about && <div className="text-ink-3 text-xs">{about}</div>}
        {actions && <div className="ml-auto flex items-center gap-2">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** Any error as a note; offers to ask again. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : undefined;
  const detail = problem?.detail ?? (error instanceof Error ? error.message : String(error));
  return (
    <ErrorNote
      title={problem?.title ?? "This page failed"}
      detail={detail}
      code={problem?.code}
      hint={problem?.hint}
      requestId={problem?.request_id}
      action={onRetry && <Button onClick={onRetry}>Ask again</Button>}
    />
  );
}
