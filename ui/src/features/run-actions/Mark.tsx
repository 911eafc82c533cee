import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type MarkBody, markRun, planMark } from "../../api/actions";
import { runViewQuery } from "../../api/queries";
import { ErrorState } from "../../components/Page";
import { Segments } from "../../ui/Tabs";
import { ActSheet } from "./ActSheet";
import { TaskPicker, useRunName } from "./Retry";
import { taskRef } from "./schema";
import { useSheet } from "./sheet";

type What = "tasks" | "run";

/** Says that something is done (or failed) although it did not run so, with what follows from it. */
export default function Mark() {
  const { of: run = "", pick } = useSheet();
  const query = useQuery(runViewQuery(run));
  const view = query.data;
  const [state, setState] = useState<"succeeded" | "failed">("succeeded");
  const [what, setWhat] = useState<What>(pick.length > 0 ? "tasks" : "run");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(pick));
  const name = useRunName(view);
  const body: MarkBody | undefined =
    what === "tasks"
      ? chosen.size === 0
        ? undefined
        : { state, tasks: [...chosen].map(taskRef) }
      : { state };
  return (
    <ActSheet
      title={`Mark ${state}`}
      about={name}
      body={body && { run, ...body }}
      plan={() => planMark(run, body ?? { state })}
      act={(reason) => markRun(run, { state, ...body, ...(reason ? { reason } : {}) })}
      label={(plan) => plan?.text ?? `Mark ${state}`}
      done={(_run, plan) => `${plan?.text ?? `Mark ${state}`}: done`}
      kind={state === "failed" ? "danger" : "primary"}
    >
      <div className="flex flex-wrap gap-2">
        <Segments
          label="What to mark"
          value={what}
          options={[
            { value: "run", text: "The run" },
            { value: "tasks", text: "Chosen tasks" },
          ]}
          onChange={setWhat}
        />
        <Segments
          label="Mark as"
          value={state}
          options={[
            { value: "succeeded", text: "Succeeded" },
            { value: "failed", text: "Failed" },
          ]}
          onChange={setState}
        />
      </div>
      <p className="text-ink-2">
        {state === "succeeded"
          ? "Nothing is run for it. What depends on it goes on as if it had succeeded; its output stays empty."
          : "What depends on it does not run unless its trigger rule says so. An attempt that is under way is stopped."}
      </p>
      {query.error && !view && <ErrorState error={query.error} />}
      {what === "tasks" && view && <TaskPicker view={view} chosen={chosen} onChange={setChosen} />}
    </ActSheet>
  );
}
