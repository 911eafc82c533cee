import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { addToken, dropToken } from "../../api/accounts";
import { accountsQuery } from "../../api/queries";
import type { Accounts, ApiToken, Role } from "../../api/types";
import { ErrorState, Section } from "../../components/Page";
import { RelativeTime } from "../../components/When";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";
import { Empty, SkeletonRows, Tag } from "../../ui/Feedback";
import { Field, Input, Select } from "../../ui/Field";
import { toast } from "../../ui/notes";
import { Sheet } from "../../ui/Sheet";
import { Table, Td, Th } from "../../ui/Table";
import { Once } from "./Once";
import { RoleField } from "./RoleField";

/** Tokens for programs: what each may do, until when, and when it last did. */
export function Tokens({ accounts }: { accounts: Accounts | undefined }) {
  const tokens = accounts?.tokens.items;
  const [adding, setAdding] = useState(false);
  const [dropping, setDropping] = useState<ApiToken>();
  return (
    <Section
      title="API tokens"
      actions={
        <Button small icon="plus" onClick={() => setAdding(true)}>
          Make a token
        </Button>
      }
    >
      {tokens ? (
        tokens.length === 0 ? (
          <Empty title="There is no token">A token lets a program in as a role of its own.</Empty>
        ) : (
          <List tokens={tokens} onDrop={setDropping} />
        )
      ) : (
        <SkeletonRows rows={3} />
      )}
      {adding && <AddToken onClose={() => setAdding(false)} />}
      {dropping && <DropToken token={dropping} onClose={() => setDropping(undefined)} />}
    </Section>
  );
}

function List({
  tokens,
  onDrop,
}: {
  tokens: readonly ApiToken[];
  onDrop: (token: ApiToken) => void;
}) {
  return (
    <Table label="API tokens">
      <thead>
        <tr>
          <Th>Name</Th>
          <Th>Begins with</Th>
          <Th>Role</Th>
          <Th className="w-full">Only for</Th>
          <Th num>Last used</Th>
          <Th num>Expires</Th>
          <Th>Made by</Th>
          <Th>
            <span className="sr-only">Actions</span>
          </Th>
        </tr>
      </thead>
      <tbody>
        {tokens.map((token) => (
          <tr key={token.id}>
            <Td className="whitespace-nowrap font-medium">{token.name}</Td>
            <Td className="font-mono text-xs">{token.prefix}…</Td>
            <Td>{token.role}</Td>
            <Td>
              <span className="flex gap-1">
                {token.scopes.length > 0 ? (
                  token.scopes.map((scope) => <Tag key={scope}>{scope}</Tag>)
                ) : (
                  <span className="text-ink-3">all that its role may</span>
                )}
              </span>
            </Td>
            <Td num className="text-ink-2">
              {token.last_used_at ? <RelativeTime at={token.last_used_at} /> : "never"}
            </Td>
            <Td num className="text-ink-2">
              {token.expires_at ? <RelativeTime at={token.expires_at} /> : "never"}
            </Td>
            <Td className="text-ink-2">{token.created_by}</Td>
            <Td>
              <Button small kind="quiet" onClick={() => onDrop(token)}>
                Revoke…
              </Button>
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

const DAY = 86_400;
const LIVES = [
  { seconds: 30 * DAY, text: "30 days" },
  { seconds: 90 * DAY, text: "90 days" },
  { seconds: 365 * DAY, text: "a year" },
  { seconds: 0, text: "it never expires" },
] as const;

function AddToken({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [scopes, setScopes] = useState("");
  const [life, setLife] = useState<number>(90 * DAY);
  const add = useMutation({
    mutationFn: () => {
      const only = scopes.split(/[\s,]+/).filter(Boolean);
      return addToken({
        name,
        role,
        ...(only.length > 0 ? { scopes: only } : {}),
        ...(life > 0 ? { expires_in_seconds: life } : {}),
      });
    },
    onSuccess: () => client.invalidateQueries({ queryKey: accountsQuery.queryKey }),
  });
  const made = add.data;
  return (
    <Sheet
      open
      onClose={onClose}
      title={made ? `Token ${made.name} is made` : "Make a token"}
      actions={
        made ? (
          <Button kind="primary" onClick={onClose}>
            Done
          </Button>
        ) : (
          <>
            <Button onClick={onClose}>Cancel</Button>
            <Button
              kind="primary"
              busy={add.isPending}
              disabled={!name.trim()}
              onClick={() => add.mutate()}
            >
              Make a token with the role {role}
            </Button>
          </>
        )
      }
    >
      {made?.token ? (
        <Once
          what="Token"
          value={made.token}
          about="It is shown now and never again; only its hash is kept."
        />
      ) : (
        <div className="flex flex-col gap-4">
          <Field label="Name" help="What it is for: ci, grafana.">
            {(ids) => (
              <Input
                {...ids}
                autoCapitalize="none"
                autoComplete="off"
                value={name}
                onChange={(event) => setName(event.target.value)}
              />
            )}
          </Field>
          <RoleField role={role} onChange={setRole} />
          <Field
            label="Only for (optional)"
            help="Scopes such as runs:write, separated by spaces; empty means all that the role may."
          >
            {(ids) => (
              <Input
                {...ids}
                autoCapitalize="none"
                spellCheck={false}
                value={scopes}
                onChange={(event) => setScopes(event.target.value)}
                className="font-mono text-xs"
              />
            )}
          </Field>
          <Field label="Works for">
            {(ids) => (
              <Select
                {...ids}
                value={life}
                onChange={(event) => setLife(Number(event.target.value))}
              >
                {LIVES.map((each) => (
                  <option key={each.seconds} value={each.seconds}>
                    {each.text}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          {add.error && <ErrorState error={add.error} />}
        </div>
      )}
    </Sheet>
  );
}

function DropToken({ token, onClose }: { token: ApiToken; onClose: () => void }) {
  const client = useQueryClient();
  const drop = useMutation({
    mutationFn: () => dropToken(token.id),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: accountsQuery.queryKey });
      toast(`Token ${token.name} is revoked.`);
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Revoke token ${token.name}?`}
      about="Programs that use it are refused from now on. It cannot be brought back."
      actions={
        <>
          <Button onClick={onClose}>Keep</Button>
          <Button kind="danger" busy={drop.isPending} onClick={() => drop.mutate()}>
            Revoke {token.name}
          </Button>
        </>
      }
    >
      {drop.error && <ErrorState error={drop.error} />}
    </Dialog>
  );
}
