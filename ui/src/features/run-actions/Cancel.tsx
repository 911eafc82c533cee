import { useQuery } from "@tanstack/react-query";
import { cancelRun, planCancel } from "../../api/actions";
import { runViewQuery } from "../../api/queries";
import { ActSheet } from "./ActSheet";
import { useRunName } from "./Retry";
import { useSheet } from "./sheet";

/** Stops what runs, and drops what waits. */
export default function Cancel() {
  const { of: run = "" } = useSheet();
  const view = useQuery(runViewQuery(run)).data;
  const name = useRunName(view);
  return (
    <ActSheet
      title="Cancel this run"
      about={name}
      body={{ run }}
      plan={() => planCancel(run)}
      act={(reason) => cancelRun(run, reason)}
      label={(plan) => plan?.text ?? "Cancel the run"}
      done={(_run, plan) => `${plan?.text ?? "Cancel"}: asked for`}
      kind="danger"
    >
      <p className="text-ink-2">
        Attempts under way are told to stop and get their time to clean up. What has succeeded stays
        as it is; the run can be taken up again later.
      </p>
    </ActSheet>
  );
}
