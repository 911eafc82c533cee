import type { ReactNode } from "react";
import { cx } from "./cx";
import { Icon } from "./Icon";

/** A grey bar where something will be: it holds the place and states nothing. */
export function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden="true" className={cx("skeleton block h-4", className)} />;
}

/** Rows of a list that is being read, at the height that the rows will have. */
export function SkeletonRows({ rows = 8, height = 32 }: { rows?: number; height?: number }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
          key={i}
          className="flex items-center gap-4 border-line border-b px-4"
          style={{ height }}
        >
          <Skeleton className="size-4 rounded-full" />
          <Skeleton className={["w-40", "w-56", "w-48"][i % 3] ?? "w-40"} />
          <Skeleton className="ml-auto w-24" />
        </div>
      ))}
    </div>
  );
}

/** Nothing here, and that is a fact: why, and what to do. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="px-4 py-8 text-center">
      <p className="font-medium text-base text-ink">{title}</p>
      {children && <div className="mx-auto mt-1 max-w-prose text-ink-2">{children}</div>}
      {action && <div className="mt-4 flex justify-center gap-2">{action}</div>}
    </div>
  );
}

interface ErrorProps {
  title: string;
  detail: string;
  code?: string | undefined;
  hint?: string | null | undefined;
  requestId?: string | undefined;
  action?: ReactNode;
}

/** What failed, why, what to do; with the code and request id for whoever is asked. */
export function ErrorNote({ title, detail, code, hint, requestId, action }: ErrorProps) {
  return (
    <div role="alert" className="m-4 rounded-md border border-bad bg-surface p-4">
      <p className="flex items-center gap-2 font-semibold text-ink">
        <Icon name="warn" className="text-bad" />
        {title}
      </p>
      <p className="mt-1 text-ink-2">{detail}</p>
      {hint && <p className="mt-1 text-ink-2">{hint}</p>}
      {(code || requestId) && (
        <p className="mt-2 font-mono text-2xs text-ink-3">
          {code}
          {requestId && ` · request ${requestId}`}
        </p>
      )}
      {action && <div className="mt-3 flex gap-2">{action}</div>}
    </div>
  );
}

/** A sentence across the page: the connection is lost, a file is broken, a password must change. */
export function Banner({
  tone,
  children,
  action,
}: {
  tone: "warn" | "bad" | "info";
  children: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div
      role="status"
      className={cx(
        "flex flex-wrap items-center gap-x-4 gap-y-1 border-line border-b px-4 py-2 text-ink text-sm md:px-6",
        tone === "warn" && "bg-warn-soft",
        tone === "bad" && "bg-bad-soft",
        tone === "info" && "bg-sunken",
      )}
    >
      <Icon
        name={tone === "info" ? "help" : "warn"}
        className={tone === "bad" ? "text-bad" : tone === "warn" ? "text-warn" : "text-ink-3"}
      />
      <div className="min-w-0 flex-1">{children}</div>
      {action}
    </div>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return (
    <kbd className="inline-flex h-5 min-w-5 items-center justify-center rounded-sm border border-line-strong bg-sunken px-1 font-mono text-2xs text-ink-2">
      {children}
    </kbd>
  );
}

/** A small word in a frame: tags, kinds, roles. */
export function Tag({ children }: { children: ReactNode }) {
  return (
    <span className="inline-flex h-5 items-center whitespace-nowrap rounded-sm bg-sunken px-1.5 text-2xs text-ink-2">
      {children}
    </span>
  );
}
