import { cx } from "../ui/cx";

/** How many of how many, as a bar and in figures. */
export function Progress({
  done,
  total,
  label,
  className,
}: {
  done: number;
  total: number;
  label: string;
  className?: string;
}) {
  const share = total > 0 ? (done / total) * 100 : 0;
  return (
    <div className={cx("flex items-center gap-2", className)}>
      <div
        role="progressbar"
        aria-label={label}
        aria-valuenow={done}
        aria-valuemin={0}
        aria-valuemax={total}
        className="h-1 flex-1 overflow-hidden rounded-full bg-line-strong"
      >
        <div className="h-full bg-run" style={{ width: `${share}%` }} />
      </div>
      <span className="num text-ink-3 text-xs">
        {done}/{total}
      </span>
    </div>
  );
}
