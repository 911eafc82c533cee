import { Link } from "@tanstack/react-router";
import type { Workflow } from "../../api/types";
import { Duration } from "../../components/Duration";
import { RelativeTime } from "../../components/When";
import { Button } from "../../ui/Button";
import { Banner, Tag } from "../../ui/Feedback";
import { useSheet } from "../run-actions/sheet";
import { useMay } from "../shell/may";
import { AttentionGlyph } from "../workflows/WorkflowRow";

/** The facts of a workflow in one line. */
export function Facts({ workflow }: { workflow: Workflow }) {
  const last = workflow.last_run;
  return (
    <span className="flex min-w-0 flex-wrap items-center gap-x-4 gap-y-1 md:max-h-5 md:overflow-hidden">
      <span>{workflow.schedule?.words ?? "starts by hand"}</span>
      {workflow.next_fire && !workflow.paused && (
        <span>
          next <RelativeTime at={workflow.next_fire} />
        </span>
      )}
      {last?.seconds != null && (
        <span>
          last took <Duration seconds={last.seconds} usual={workflow.median_seconds} />
        </span>
      )}
      {workflow.owner && <span>{workflow.owner}</span>}
      <span>version {workflow.version}</span>
      <span className="hidden gap-1 xl:inline-flex">
        {workflow.tags.slice(0, 4).map((tag) => (
          <Link
            key={tag}
            to="/workflows"
            search={{ tag } as never}
            className="inline-flex no-underline"
          >
            <Tag>{tag}</Tag>
          </Link>
        ))}
      </span>
    </span>
  );
}

export function Heading({ workflow }: { workflow: Workflow }) {
  return (
    <span className="flex min-w-0 items-center gap-2">
      <AttentionGlyph workflow={workflow} />
      <span className="min-w-0 [overflow-wrap:anywhere] md:truncate" title={workflow.id}>
        {workflow.id}
      </span>
    </span>
  );
}

export function Acts({ workflow }: { workflow: Workflow }) {
  const { open } = useSheet();
  const allowed = useMay("operator");
  return (
    <>
      <Button
        icon={workflow.paused ? "play" : "pause"}
        {...allowed}
        onClick={() => open("pause", workflow.id)}
      >
        {workflow.paused ? "Unpause" : "Pause"}
      </Button>
      <Button kind="primary" icon="play" {...allowed} onClick={() => open("trigger", workflow.id)}>
        Trigger
      </Button>
    </>
  );
}

/** What stands between the reader and a normal day: paused, late, retired, a broken file. */
export function Notices({ workflow }: { workflow: Workflow }) {
  const errors = workflow.diagnostics_list.filter((each) => each.severity === "error").length;
  return (
    <>
      {workflow.state === "retired" && (
        <Banner tone="info">Its file is gone: it starts no more, and its history stays.</Banner>
      )}
      {workflow.why_not && <Banner tone="warn">It does not run: {workflow.why_not}.</Banner>}
      {errors > 0 && (
        <Banner
          tone="bad"
          action={
            <Link
              to="/workflows/$workflow"
              params={{ workflow: workflow.id }}
              search={{ tab: "code" }}
              className="touch font-medium underline"
            >
              Open the file
            </Link>
          }
        >
          Its file is broken; version {workflow.version} keeps running.
        </Banner>
      )}
    </>
  );
}
