import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { setNote } from "../../api/actions";
import type { Run, RunView } from "../../api/types";
import { Json } from "../../components/Json";
import { ErrorState, Section } from "../../components/Page";
import { duration } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { TRIGGER_WORDS } from "../../lib/states";
import { exact } from "../../lib/time";
import { Button } from "../../ui/Button";
import { Empty } from "../../ui/Feedback";
import { Field, Textarea } from "../../ui/Field";
import { toast } from "../../ui/notes";
import { ActLink } from "../run-actions/ActLink";
import { useMay } from "../shell/may";

/** What the run was given, and what is known of it. Empty facts are left out. */
export function Params({ view }: { view: RunView }) {
  const { run } = view;
  const params = Object.entries(run.params);
  return (
    <div className="grid min-h-0 flex-1 content-start gap-4 p-4 md:grid-cols-2 md:overflow-y-auto md:px-6">
      <Section
        title="Params"
        about="as this run was given them"
        actions={
          <ActLink sheet="trigger" of={run.workflow} pick={[run.id]} small>
            Trigger with these…
          </ActLink>
        }
      >
        {params.length === 0 ? (
          <Empty title="This run took no params" />
        ) : (
          <dl>
            {params.map(([name, value]) => (
              <div
                key={name}
                className="grid grid-cols-[10rem_1fr] gap-4 border-line border-b px-4 py-2"
              >
                <dt className="font-mono text-ink-2 text-xs [overflow-wrap:anywhere]">{name}</dt>
                <dd className="min-w-0">
                  <Json value={value} />
                </dd>
              </div>
            ))}
          </dl>
        )}
      </Section>
      <div className="flex min-w-0 flex-col gap-4">
        <Facts run={run} />
        <Note run={run} />
      </div>
    </div>
  );
}

function Facts({ run }: { run: Run }) {
  const zone = useZone();
  const facts: [string, React.ReactNode][] = [
    [
      "Run",
      <code key="id" className="font-mono text-xs">
        {run.id}
      </code>,
    ],
    [
      "Key",
      <code key="key" className="font-mono text-xs">
        {run.run_key}
      </code>,
    ],
    ["Started by", `${run.by}, ${TRIGGER_WORDS[run.trigger].toLowerCase()}`],
    ["Logical date", exact(run.logical_date, zone)],
    [
      "Data interval",
      `${exact(run.data_interval.start, zone)} – ${exact(run.data_interval.end, zone)}`,
    ],
    ["Created", exact(run.created_at, zone)],
  ];
  if (run.started_at) facts.push(["Started", exact(run.started_at, zone)]);
  if (run.ended_at) facts.push(["Ended", exact(run.ended_at, zone)]);
  if (run.wait_seconds != null) facts.push(["Queued for", duration(run.wait_seconds)]);
  facts.push(
    ["Queue", `${run.queue}, priority ${run.priority}`],
    ["Generation", String(run.generation)],
    [
      "File",
      <Link
        key="path"
        to="/workflows/$workflow"
        params={{ workflow: run.workflow }}
        search={{ tab: "code", version: run.version } as never}
        className="text-ink underline underline-offset-2"
      >
        {run.path}, version {run.version}
        {run.version_is_newest ? " (newest)" : " (not the newest)"}
      </Link>,
    ],
    [
      "SHA-256",
      <code key="sha" className="font-mono text-xs">
        {run.sha256.slice(0, 16)}…
      </code>,
    ],
    ["Events", String(run.events)],
  );
  return (
    <Section title="Facts">
      <dl>
        {facts.map(([name, value]) => (
          <div
            key={name}
            className="grid grid-cols-[8rem_1fr] gap-4 border-line border-b px-4 py-1.5"
          >
            <dt className="text-ink-3 text-xs">{name}</dt>
            <dd className="num min-w-0 whitespace-normal text-xs [overflow-wrap:anywhere]">
              {value}
            </dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}

function Note({ run }: { run: Run }) {
  const [text, setText] = useState<string>();
  const allowed = useMay("operator");
  const save = useMutation({
    mutationFn: (note: string) => setNote(run.id, note),
    onSuccess: () => {
      setText(undefined);
      toast("Note saved");
    },
  });
  const shown = text ?? run.note ?? "";
  return (
    <Section title="Note">
      <form
        className="flex flex-col gap-2 p-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate(shown);
        }}
      >
        <Field label="What the next person should know">
          {(ids) => (
            <Textarea
              {...ids}
              rows={3}
              value={shown}
              readOnly={allowed.refused !== undefined}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
        {save.error && <ErrorState error={save.error} />}
        <Button
          type="submit"
          className="self-start"
          busy={save.isPending}
          disabled={text === undefined}
          {...allowed}
        >
          Save note
        </Button>
      </form>
    </Section>
  );
}
