import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { dropConnection, putConnection, testConnection } from "../../api/accounts";
import type { Connection, ConnectionKind } from "../../api/types";
import { WorkflowLink } from "../../components/links";
import { ErrorState } from "../../components/Page";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";
import { ErrorNote } from "../../ui/Feedback";
import { Field, Input, Select } from "../../ui/Field";
import { Icon } from "../../ui/Icon";
import { toast } from "../../ui/notes";
import { Sheet } from "../../ui/Sheet";
import { ParamField } from "../run-actions/ParamField";
import { useMay } from "../shell/may";
import { type ConnField, connBody, connFields, connValues, missing, SOURCE_WORDS } from "./form";

interface Props {
  kinds: readonly ConnectionKind[];
  /** Absent: a new one. */
  connection: Connection | undefined;
  onClose: () => void;
}

/** One connection: a typed field each, where it comes from, and a test of the whole. */
export function ConnectionSheet({ kinds, connection, onClose }: Props) {
  const client = useQueryClient();
  const allowed = useMay("editor");
  const [kind, setKind] = useState(connection?.kind ?? kinds[0]?.kind ?? "");
  const [name, setName] = useState(connection?.name ?? "");
  const [reason, setReason] = useState("");
  const [tried, setTried] = useState(false);
  const [dropping, setDropping] = useState(false);
  const chosen = kinds.find((each) => each.kind === kind);
  const fields = useMemo(
    () => (chosen ? connFields(chosen.schema, connection) : []),
    [chosen, connection],
  );
  const [edits, setEdits] = useState<Record<string, string>>({});
  const values = { ...connValues(fields, connection), ...edits };
  const { params, errors: wrong } = connBody(fields, values);
  const errors = { ...wrong, ...missing(fields, values) };

  const changed = () => client.invalidateQueries({ queryKey: ["connections"] });
  const save = useMutation({
    mutationFn: () =>
      putConnection(name.trim(), { kind, fields: params, ...(reason ? { reason } : {}) }),
    onSuccess: async () => {
      await changed();
      toast(`Connection ${name.trim()} is saved.`);
      onClose();
    },
  });
  const test = useMutation({ mutationFn: () => testConnection(name) });
  const submit = () => {
    setTried(true);
    if (name.trim() && Object.keys(errors).length === 0) save.mutate();
  };
  const stored = connection?.source === "store";

  return (
    <Sheet
      open
      onClose={onClose}
      title={connection?.name ?? "New connection"}
      about={chosen?.summary}
      actions={
        <>
          {connection && (
            <Button busy={test.isPending} {...allowed} onClick={() => test.mutate()}>
              Test as saved
            </Button>
          )}
          {stored && (
            <Button kind="danger" {...allowed} onClick={() => setDropping(true)}>
              Remove…
            </Button>
          )}
          <Button
            kind="primary"
            busy={save.isPending}
            {...allowed}
            onClick={submit}
            className="md:ml-auto"
          >
            Save {name.trim() || "the connection"}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        {connection?.error && <ErrorNote title="It cannot be used now" detail={connection.error} />}
        {test.data && <TestResult result={test.data} />}
        {test.error && <ErrorState error={test.error} />}
        {!connection && (
          <>
            <Field
              label="Name"
              help="As tasks write it: conn: NAME."
              error={tried && !name.trim() ? "This is required." : undefined}
            >
              {(ids) => (
                <Input
                  {...ids}
                  autoCapitalize="none"
                  spellCheck={false}
                  value={name}
                  onChange={(event) => setName(event.target.value)}
                />
              )}
            </Field>
            <Field label="Kind">
              {(ids) => (
                <Select {...ids} value={kind} onChange={(event) => setKind(event.target.value)}>
                  {kinds.map((each) => (
                    <option key={each.kind} value={each.kind}>
                      {each.kind}: {each.summary}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          </>
        )}
        {fields.map((field) => (
          <OneField
            key={field.name}
            field={field}
            value={values[field.name] ?? ""}
            error={tried ? errors[field.name] : undefined}
            onChange={(text) => setEdits({ ...edits, [field.name]: text })}
          />
        ))}
        <Field label="Why (optional)" help="Kept in the audit log.">
          {(ids) => (
            <Input {...ids} value={reason} onChange={(event) => setReason(event.target.value)} />
          )}
        </Field>
        {save.error && <ErrorState error={save.error} />}
        {connection && <UsedBy connection={connection} />}
      </div>
      {dropping && connection && (
        <Drop connection={connection} onClose={() => setDropping(false)} onDone={onClose} />
      )}
    </Sheet>
  );
}

interface FieldProps {
  field: ConnField;
  value: string;
  error: string | undefined;
  onChange: (text: string) => void;
}

function OneField({ field, value, error, onChange }: FieldProps) {
  const from = <Source field={field} />;
  if (field.fixed) {
    return (
      <Field label={field.title} help={from}>
        {(ids) => <Input {...ids} disabled value={field.secret ? "••••••••" : value} />}
      </Field>
    );
  }
  if (field.secret) {
    return (
      <Field
        label={field.title}
        help={
          <>
            {from} {field.help}
          </>
        }
        error={error}
      >
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            placeholder={field.set ? "leave empty to keep the stored one" : "not set"}
            value={value}
            onChange={(event) => onChange(event.target.value)}
          />
        )}
      </Field>
    );
  }
  return (
    <div>
      <ParamField
        field={field}
        value={value}
        error={error}
        onChange={onChange}
        onLeave={() => undefined}
      />
      <p className="mt-1 text-ink-3 text-xs">{from}</p>
    </div>
  );
}

function Source({ field }: { field: ConnField }) {
  if (field.fixed)
    return (
      <span>
        {field.set ? "" : "not set, "}
        {SOURCE_WORDS[field.source]}, which wins over what is stored here.
      </span>
    );
  const kept = field.secret && field.set ? "A secret is " : "";
  const word = SOURCE_WORDS[field.source];
  return (
    <span>
      {kept}
      {kept ? word : word.charAt(0).toUpperCase() + word.slice(1)}
      {field.secret ? "; it is never shown again." : "."}
    </span>
  );
}

function TestResult({
  result,
}: {
  result: { ok: boolean; text: string; checks: { address: string; ok: boolean; text: string }[] };
}) {
  return (
    <div role="status" className="rounded-md border border-line-strong p-3">
      <p className="flex items-center gap-2 font-medium">
        <Icon name={result.ok ? "check" : "warn"} className={result.ok ? "text-ok" : "text-bad"} />
        {result.text}
      </p>
      {result.checks.map((check) => (
        <p key={check.address} className="pl-6 text-ink-2 text-xs">
          <span className="font-mono">{check.address}</span> {check.text}
        </p>
      ))}
    </div>
  );
}

const SHOWN = 12;

function UsedBy({ connection }: { connection: Connection }) {
  const { used_by: users } = connection;
  if (users.length === 0) return <p className="text-ink-3">No task uses it.</p>;
  return (
    <section>
      <h3 className="font-medium">Used by</h3>
      <ul className="mt-1 text-ink-2">
        {users.slice(0, SHOWN).map((user) => (
          <li key={`${user.workflow}/${user.task}`}>
            <WorkflowLink workflow={user.workflow} /> {user.task}
          </li>
        ))}
        {users.length > SHOWN && <li>and {users.length - SHOWN} more</li>}
      </ul>
    </section>
  );
}

function Drop({
  connection,
  onClose,
  onDone,
}: {
  connection: Connection;
  onClose: () => void;
  onDone: () => void;
}) {
  const client = useQueryClient();
  const drop = useMutation({
    mutationFn: () => dropConnection(connection.name),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["connections"] });
      toast(`Connection ${connection.name} is removed.`);
      onDone();
    },
  });
  const used = connection.used_by.length;
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Remove ${connection.name}?`}
      about={
        used > 0
          ? `${used === 1 ? "1 task uses" : `${used} tasks use`} it and will fail at the next run. Its stored secrets are gone for good.`
          : "Its stored secrets are gone for good."
      }
      actions={
        <>
          <Button onClick={onClose}>Keep</Button>
          <Button kind="danger" busy={drop.isPending} onClick={() => drop.mutate()}>
            Remove {connection.name}
          </Button>
        </>
      }
    >
      {drop.error && <ErrorState error={drop.error} />}
    </Dialog>
  );
}
