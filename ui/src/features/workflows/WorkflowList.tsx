import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import type { WorkflowSummary } from "../../api/types";
import { usePhone } from "../../lib/media";
import { cx } from "../../ui/cx";
import { columns, PHONE_ROW, ROW, WorkflowCard, WorkflowRow } from "./WorkflowRow";

const HEADS = ["", "Workflow", "About", "Owner", "Last 20 runs", "Last run, usual", "Next", ""];

/** A thousand rows, of which only those in view exist. */
export function WorkflowList({ rows }: { rows: readonly WorkflowSummary[] }) {
  const phone = usePhone();
  const host = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  useLayoutEffect(() => {
    setMargin(host.current?.offsetTop ?? 0);
  }, []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => (phone ? PHONE_ROW : ROW),
    overscan: 12,
    scrollMargin: margin,
  });
  return (
    <div role="table" aria-label="Workflows" aria-rowcount={rows.length + 1} className="bg-surface">
      <div role="rowgroup" className={cx("sticky top-0 z-10 bg-surface", phone && "sr-only")}>
        <div
          role="row"
          className={cx(
            !phone && columns,
            "h-8 border-line border-b px-4 text-2xs text-ink-3 md:px-6",
          )}
        >
          {HEADS.map((head, index) => (
            <span
              // biome-ignore lint/suspicious/noArrayIndexKey: the heads never change
              key={index}
              role="columnheader"
              className={cx("font-medium", (index === 5 || index === 6) && "text-right")}
            >
              {head || <span className="sr-only">{index === 0 ? "State" : "Actions"}</span>}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={host}
        role="rowgroup"
        className="relative"
        style={{ height: virtual.getTotalSize() }}
      >
        {virtual.getVirtualItems().map((item) => {
          const workflow = rows[item.index];
          if (!workflow) return null;
          return (
            <div
              key={workflow.id}
              role="presentation"
              className="absolute inset-x-0 top-0"
              style={{ transform: `translateY(${item.start - margin}px)` }}
            >
              {phone ? <WorkflowCard workflow={workflow} /> : <WorkflowRow workflow={workflow} />}
            </div>
          );
        })}
      </div>
    </div>
  );
}
