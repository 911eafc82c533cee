import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useState } from "react";
import { meQuery } from "../../api/queries";
import type { Plan } from "../../api/types";
import { ErrorState } from "../../components/Page";
import { Button, type ButtonKind } from "../../ui/Button";
import { Field, Input } from "../../ui/Field";
import { toast } from "../../ui/notes";
import { Sheet } from "../../ui/Sheet";
import { useMay } from "../shell/may";
import { PlanView } from "./PlanView";
import { useSheet } from "./sheet";

interface Props<Done> {
  title: string;
  about?: ReactNode;
  /** What is asked for; another one asks for another preview. `undefined`: it is not complete yet. */
  body: object | undefined;
  plan: () => Promise<Plan>;
  act: (reason: string | undefined) => Promise<Done>;
  /** The word on the button, with what it touches; `undefined` while that is not known. */
  label: (plan: Plan | undefined) => string;
  done: (result: Done, plan: Plan | undefined) => string;
  after?: (result: Done) => void;
  kind?: ButtonKind;
  /** The trigger has a note instead of a reason. */
  reason?: boolean;
  children?: ReactNode;
}

const STALE = [["home"], ["runs"], ["workflows"], ["workflow"], ["run"], ["audit"]];

/** Form, preview of what it touches, the act with its count always in view. */
export function ActSheet<Done>(props: Props<Done>) {
  const { title, about, body, plan, act, label, done, after, kind = "primary", children } = props;
  const { close } = useSheet();
  const client = useQueryClient();
  const [reason, setReason] = useState("");
  const { refused } = useMay("operator");
  // Nobody asks what an act would touch before it is known that they may act.
  const known = useQuery(meQuery).data !== undefined;
  const asked = refused || !known ? undefined : body;
  const preview = useQuery({
    queryKey: ["plan", title, asked],
    queryFn: plan,
    enabled: asked !== undefined,
    placeholderData: keepPreviousData,
    staleTime: 5_000,
    gcTime: 10_000,
    retry: false,
  });
  const doing = useMutation({
    mutationFn: () => act(reason.trim() || undefined),
    onSuccess: (result) => {
      toast(done(result, preview.data));
      for (const queryKey of STALE) void client.invalidateQueries({ queryKey });
      if (after) after(result);
      else close();
    },
  });
  const found = preview.isPlaceholderData ? undefined : preview.data;
  const nothing = found !== undefined && found.tasks.length === 0 && found.runs === 0;
  const empty = nothing && !/pause$/.test(found.action);
  return (
    <Sheet
      open
      onClose={close}
      title={title}
      about={about}
      actions={
        <>
          <Button onClick={close} disabled={doing.isPending}>
            Close
          </Button>
          <Button
            kind={kind}
            busy={doing.isPending}
            disabled={asked === undefined || empty || Boolean(preview.error)}
            refused={refused}
            onClick={() => doing.mutate()}
            data-act=""
          >
            {label(found)}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-6">
        {refused && <p role="status">{refused}</p>}
        {children}
        {props.reason !== false && (
          <Field label="Reason" help="Kept in the audit log, beside who and when.">
            {(ids) => (
              <Input
                {...ids}
                value={reason}
                maxLength={500}
                onChange={(event) => setReason(event.target.value)}
              />
            )}
          </Field>
        )}
        {doing.error && <ErrorState error={doing.error} />}
        {asked === undefined ? null : (
          <PlanView
            plan={preview.data}
            error={preview.error}
            pending={preview.isFetching}
            onRetry={() => void preview.refetch()}
          />
        )}
      </div>
    </Sheet>
  );
}
