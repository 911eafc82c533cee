import { planPaused, setPaused } from "../../api/actions";
import { useFacts } from "../../api/facts";
import { ErrorState } from "../../components/Page";
import { Skeleton } from "../../ui/Feedback";
import { Sheet } from "../../ui/Sheet";
import { ActSheet } from "./ActSheet";
import { useSheet } from "./sheet";

/** Pauses a workflow, or lets it go on: whichever it is not. */
export default function Pause() {
  const { of: workflow = "", close } = useSheet();
  const query = useFacts(workflow);
  if (!query.data)
    return (
      <Sheet open onClose={close} title="Pause" about={workflow}>
        {query.error ? <ErrorState error={query.error} /> : <Skeleton className="w-64" />}
      </Sheet>
    );
  const paused = !query.data.paused;
  const word = paused ? "Pause" : "Unpause";
  return (
    <ActSheet
      title={`${word} ${workflow}`}
      about={query.data.schedule?.words}
      body={{ workflow, paused }}
      plan={() => planPaused(workflow, paused)}
      act={(reason) => setPaused(workflow, paused, reason)}
      label={() => `${word} ${workflow}`}
      done={() => `${workflow} is ${paused ? "paused" : "active"}`}
    >
      <p className="text-ink-2">
        {paused
          ? "The schedule starts no new run until it is unpaused. Runs that are under way go on, and a run can still be started by hand. Pausing survives edits of the file."
          : `The schedule starts runs again from its next time on. What was due meanwhile follows the catch-up rule of the workflow: ${query.data.catchup}.`}
      </p>
    </ActSheet>
  );
}
