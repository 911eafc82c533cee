import type { TaskRunView } from "../../api/types";
import { Json } from "../../components/Json";
import { cx } from "../../ui/cx";
import { Empty } from "../../ui/Feedback";
import { paramRows } from "./compare";

/** Written beside rendered, so that a wrong template can be seen; what the run before had otherwise is marked. */
export function TaskParams({ view }: { view: TaskRunView }) {
  const rows = paramRows(view.params_written, view.params_rendered, view.params_previous);
  const changed = rows.filter((row) => row.before).length;
  if (rows.length === 0) return <Empty title="This task takes no params" />;
  const head = "font-medium text-2xs text-ink-3";
  return (
    <div className="min-h-0 flex-1 bg-surface md:overflow-y-auto">
      <p className="border-line border-b px-4 py-2 text-ink-2 text-xs md:px-6">
        {view.params_rendered
          ? changed === 0
            ? "Rendered as in the previous run."
            : `${changed} of ${rows.length} values differ from the previous run; they are marked.`
          : "Not rendered yet: no attempt has started."}
      </p>
      <div className="grid grid-cols-[11rem_1fr_1fr] gap-x-6 border-line border-b px-6 py-1 max-md:hidden">
        <span className={head}>Param</span>
        <span className={head}>Written</span>
        <span className={head}>Rendered</span>
      </div>
      <dl>
        {rows.map((row) => (
          <div
            key={row.name}
            className={cx(
              "grid gap-x-6 gap-y-1 border-line border-b border-l-2 px-4 py-2 md:grid-cols-[11rem_1fr_1fr] md:px-6",
              row.before ? "border-l-warn" : "border-l-transparent",
            )}
          >
            <dt className="font-mono font-semibold text-xs [overflow-wrap:anywhere]">{row.name}</dt>
            <dd className="min-w-0 text-ink-2">
              <Json value={row.written} />
            </dd>
            <dd className="min-w-0">
              {row.same ? (
                <span className="text-ink-3 text-xs">as written</span>
              ) : (
                view.params_rendered && <Json value={row.rendered} />
              )}
              {row.before && (
                <div className="mt-1 border-line border-t pt-1 text-ink-3">
                  <span className="text-2xs">previous run</span>
                  <Json value={row.before.value ?? "(not set)"} />
                </div>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
