import { Link } from "@tanstack/react-router";
import type { Incident } from "../../api/types";
import { TaskLink, WorkflowLink } from "../../components/links";
import { StateGlyph, TriggerGlyph } from "../../components/StateGlyph";
import { DayTime, RelativeTime } from "../../components/When";
import { taskName } from "../../lib/states";
import { Button, buttonClass } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { useSheet } from "../run-actions/sheet";
import { useMay } from "../shell/may";
import { attemptWords, consequences, extraLine, KIND_STATE, KIND_WORDS } from "./incident";

/** What went wrong, newest first, each with its cause in words and its two acts. */
export function Incidents({ incidents }: { incidents: readonly Incident[] }) {
  return (
    <ul className="divide-y divide-line">
      {incidents.map((incident) => (
        <Row key={incident.id} incident={incident} />
      ))}
    </ul>
  );
}

function Row({ incident }: { incident: Incident }) {
  const { kind, run, task, map_index: mapIndex } = incident;
  const state = KIND_STATE[kind];
  const line = extraLine(incident);
  const attempt = attemptWords(incident);
  const rest = consequences(incident);
  return (
    <li className="grid grid-cols-[1rem_minmax(0,1fr)] gap-x-3 gap-y-2 px-4 py-2.5 md:grid-cols-[1rem_minmax(0,1fr)_auto]">
      <span className="pt-0.5">
        {state ? (
          <StateGlyph state={state} masked={kind === "masked_failure"} />
        ) : (
          <Icon name="warn" className="text-warn" />
        )}
      </span>
      <div className="min-w-0">
        <div className="flex flex-wrap items-baseline gap-x-2">
          {incident.workflow && (
            <WorkflowLink workflow={incident.workflow} className="font-semibold" />
          )}
          {run && task ? (
            <TaskLink run={run} task={task} mapIndex={mapIndex} className="font-medium" />
          ) : (
            <span className="font-medium">{KIND_WORDS[kind]}</span>
          )}
          <span className="text-ink-3 text-xs">
            {[run && task && kind !== "run_failed" ? KIND_WORDS[kind].toLowerCase() : "", attempt]
              .filter(Boolean)
              .join(" · ")}
          </span>
          <span className="ml-auto text-ink-3 text-xs">
            <RelativeTime at={incident.at} />
          </span>
        </div>
        <p className="text-ink [overflow-wrap:anywhere]">{incident.cause}</p>
        {line && (
          <p className="font-mono text-ink-2 text-xs [overflow-wrap:anywhere]">
            {line}
            {incident.log_line ? (
              <span className="text-ink-3"> (line {incident.log_line})</span>
            ) : null}
          </p>
        )}
        <p className="flex flex-wrap items-center gap-x-2 text-ink-3 text-xs">
          {incident.trigger && incident.logical_date && (
            <span className="inline-flex items-center gap-1">
              <TriggerGlyph trigger={incident.trigger} />
              {incident.trigger === "backfill" ? "backfill of " : "for "}
              <DayTime at={incident.logical_date} />
            </span>
          )}
          {rest.map((words) => (
            <span key={words}>{words}</span>
          ))}
          {incident.since && (
            <span>
              failing since <DayTime at={incident.since} />
            </span>
          )}
        </p>
      </div>
      <Acts incident={incident} name={task ? taskName(task, mapIndex) : incident.workflow} />
    </li>
  );
}

function Acts({ incident, name }: { incident: Incident; name: string }) {
  const { open } = useSheet();
  const allowed = useMay("operator");
  const { run, task, retry } = incident;
  return (
    <div className="col-start-2 flex flex-wrap items-start gap-2 md:col-start-3 md:justify-end">
      {run && retry && (
        <Button small icon="retry" {...allowed} onClick={() => open("retry", run)}>
          {retry.label}
        </Button>
      )}
      {run && task && (
        <TaskLink
          run={run}
          task={task}
          mapIndex={incident.map_index}
          className={`${buttonClass("plain", true)} hover:no-underline`}
        >
          <Icon name="log" />
          Open log<span className="sr-only"> of {name}</span>
        </TaskLink>
      )}
      {run && !task && (
        <Link to="/runs/$run" params={{ run }} className={buttonClass("plain", true)}>
          Open run
        </Link>
      )}
      {incident.kind === "file_broken" && incident.workflow && (
        <Link
          to="/workflows/$workflow"
          params={{ workflow: incident.workflow }}
          search={{ tab: "code" } as never}
          className={buttonClass("plain", true)}
        >
          Open file
        </Link>
      )}
      {incident.workflow && (incident.kind === "late" || incident.kind === "fires_skipped") && (
        <Link
          to="/workflows/$workflow"
          params={{ workflow: incident.workflow }}
          search={{ tab: "schedule" } as never}
          className={buttonClass("plain", true)}
        >
          Open schedule
        </Link>
      )}
    </div>
  );
}
