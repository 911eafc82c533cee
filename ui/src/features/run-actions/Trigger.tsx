import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { planTrigger, triggerRun } from "../../api/actions";
import { useFacts } from "../../api/facts";
import { runQuery, runsQuery } from "../../api/queries";
import type { Workflow } from "../../api/types";
import { ErrorState } from "../../components/Page";
import { ApiError } from "../../lib/errors";
import { useZone } from "../../lib/prefs";
import { dayTime } from "../../lib/time";
import { Button } from "../../ui/Button";
import { Skeleton } from "../../ui/Feedback";
import { Field, Input, Select, Textarea } from "../../ui/Field";
import { Sheet } from "../../ui/Sheet";
import { ActSheet } from "./ActSheet";
import { ParamField } from "./ParamField";
import { collect, fieldsOf, type Values, valuesOf } from "./schema";
import { useSheet } from "./sheet";

/** Starts one run: the form is the workflow's own schema. */
export default function Trigger() {
  const { of: id = "", close } = useSheet();
  const query = useFacts(id);
  if (query.data) return <Form key={id} workflow={query.data} />;
  return (
    <Sheet open onClose={close} title={`Trigger ${id}`}>
      {query.error ? (
        <ErrorState error={query.error} onRetry={() => void query.refetch()} />
      ) : (
        <div role="status" aria-label="Loading the form" className="flex flex-col gap-6">
          {[0, 1, 2].map((each) => (
            <div key={each} className="flex flex-col gap-2">
              <Skeleton className="w-32" />
              <Skeleton className="h-8" />
            </div>
          ))}
        </div>
      )}
    </Sheet>
  );
}

/** `crypto.randomUUID` is missing where the page is not served over TLS or from this machine. */
function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Typing asks for a preview only when it pauses. */
const SETTLE_MS = 350;

function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  const text = JSON.stringify(value);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `text` stands for the value
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(value), SETTLE_MS);
    return () => window.clearTimeout(timer);
  }, [text]);
  return settled;
}

function Form({ workflow }: { workflow: Workflow }) {
  const { pick } = useSheet();
  const navigate = useNavigate();
  const client = useQueryClient();
  const fields = useMemo(() => fieldsOf(workflow.params_schema), [workflow.params_schema]);
  const [values, setValues] = useState<Values>(() => valuesOf(fields));
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  const [date, setDate] = useState("");
  const [note, setNote] = useState("");
  const [refused, setRefused] = useState<Record<string, string>>({});
  const { params, errors } = collect(fields, values);
  const valid = Object.keys(errors).length === 0;
  const body = {
    params,
    ...(date ? { logical_date: new Date(`${date}Z`).toISOString() } : {}),
    ...(note.trim() ? { note: note.trim() } : {}),
  };
  const settled = useSettled({ params, date });
  // One key for one opened sheet: a second click on a slow network makes no second run. Another body is
  // another wish, and gets another key.
  const key = useRef({ text: "", key: freshKey() });
  const keyFor = (text: string) => {
    if (key.current.text !== "" && key.current.text !== text)
      key.current = { text, key: freshKey() };
    key.current.text = text;
    return key.current.key;
  };
  const same = async (run: string) => {
    const found = await client.fetchQuery(runQuery(run));
    setValues(valuesOf(fields, found.params));
  };
  const [sameAs] = pick;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the run that the link names, once
  useEffect(() => {
    if (sameAs) void same(sameAs);
  }, []);
  return (
    <ActSheet
      title={`Trigger ${workflow.id}`}
      about={workflow.description}
      reason={false}
      body={valid ? { workflow: workflow.id, ...settled } : undefined}
      plan={() => planTrigger(workflow.id, body)}
      act={() =>
        triggerRun(workflow.id, body, keyFor(JSON.stringify(body))).catch((error: unknown) => {
          if (error instanceof ApiError) setRefused(byPointer(error));
          throw error;
        })
      }
      label={(plan) => plan?.text ?? "Start 1 run"}
      done={() => `A run of ${workflow.id} was started`}
      after={(run) => void navigate({ to: "/runs/$run", params: { run: run.id } })}
    >
      {fields.length > 0 && (
        <div className="flex flex-wrap items-center gap-2">
          {workflow.last_params && (
            <Button small onClick={() => setValues(valuesOf(fields, workflow.last_params ?? {}))}>
              Last used params
            </Button>
          )}
          <SameAs workflow={workflow.id} onChoose={(run) => void same(run)} />
          <Button small kind="quiet" onClick={() => setValues(valuesOf(fields))}>
            Defaults
          </Button>
        </div>
      )}
      {fields.length === 0 && <p className="text-ink-2">This workflow takes no params.</p>}
      {fields.map((field) => (
        <ParamField
          key={field.name}
          field={field}
          value={values[field.name] ?? ""}
          error={
            refused[field.name] ??
            (touched.has(field.name) || values[field.name] ? errors[field.name] : undefined)
          }
          onChange={(text) => {
            setValues((before) => ({ ...before, [field.name]: text }));
            setRefused(({ [field.name]: _gone, ...rest }) => rest);
          }}
          onLeave={() => setTouched((before) => new Set(before).add(field.name))}
        />
      ))}
      <Field
        label="Logical date (UTC), optional"
        help="The time that the run is about, not when it starts. Left empty, it is now. Fill it in to run for another day or hour."
      >
        {(ids) => (
          <Input
            {...ids}
            type="datetime-local"
            step={1}
            value={date}
            onChange={(event) => setDate(event.target.value)}
          />
        )}
      </Field>
      <Field label="Note, optional" help="Shown on the run: why it was started.">
        {(ids) => (
          <Textarea
            {...ids}
            rows={2}
            maxLength={1000}
            value={note}
            onChange={(event) => setNote(event.target.value)}
          />
        )}
      </Field>
    </ActSheet>
  );
}

/** The errors of a 422, by the field that their pointer names. */
function byPointer(error: ApiError): Record<string, string> {
  const found: Record<string, string> = {};
  for (const each of error.problem.errors ?? []) {
    const field = /^\/?(?:params\/)?([^/]+)/.exec(each.path ?? "")?.[1];
    if (field) found[field] = `${each.message} (${each.code})`;
  }
  return found;
}

function SameAs({ workflow, onChoose }: { workflow: string; onChoose: (run: string) => void }) {
  const [open, setOpen] = useState(false);
  const zone = useZone();
  const { data } = useInfiniteQuery({ ...runsQuery({ workflow, limit: 12 }), enabled: open });
  const runs = data?.pages[0]?.items;
  if (!open)
    return (
      <Button small onClick={() => setOpen(true)}>
        Same as a run…
      </Button>
    );
  return (
    <Select
      aria-label="Same params as run"
      defaultValue=""
      onChange={(event) => event.target.value && onChoose(event.target.value)}
      className="w-56"
    >
      <option value="">{runs ? "Choose a run" : "…"}</option>
      {runs?.map((run) => (
        <option key={run.id} value={run.id}>
          {dayTime(run.logical_date, zone, Date.now())}, {run.state}, {run.by}
        </option>
      ))}
    </Select>
  );
}
