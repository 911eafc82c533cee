import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { addUser, changeUser, dropUser } from "../../api/accounts";
import { accountsQuery, meQuery } from "../../api/queries";
import type { Accounts, Role, User } from "../../api/types";
import { ErrorState, Section } from "../../components/Page";
import { RelativeTime } from "../../components/When";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";
import { Empty, SkeletonRows } from "../../ui/Feedback";
import { Field, Input, Select } from "../../ui/Field";
import { toast } from "../../ui/notes";
import { Sheet } from "../../ui/Sheet";
import { Table, Td, Th } from "../../ui/Table";
import { useMay } from "../shell/may";
import { Once } from "./Once";
import { ROLES, RoleField } from "./RoleField";

/** Who may come in, and what each may do. */
export function Users({ accounts }: { accounts: Accounts | undefined }) {
  const { data: me } = useQuery(meQuery);
  const [adding, setAdding] = useState(false);
  const [dropping, setDropping] = useState<string>();
  const allowed = useMay("admin");
  const users = accounts?.users;
  return (
    <Section
      title="Users"
      actions={
        <Button small icon="plus" {...allowed} onClick={() => setAdding(true)}>
          Add a user
        </Button>
      }
    >
      {users ? (
        <Table label="Users">
          <thead>
            <tr>
              <Th>Name</Th>
              <Th>Role</Th>
              <Th className="w-full">State</Th>
              <Th num>Last login</Th>
              <Th num>Added</Th>
              <Th>
                <span className="sr-only">Actions</span>
              </Th>
            </tr>
          </thead>
          <tbody>
            {users.items.map((user) => (
              <Row
                key={user.name}
                user={user}
                self={me?.name === user.name}
                onDrop={() => setDropping(user.name)}
              />
            ))}
          </tbody>
        </Table>
      ) : accounts ? (
        <Empty title="Users are shown to admins">
          {me ? `You are ${me.role}. ` : ""}An admin adds people and says what each may do.
        </Empty>
      ) : (
        <SkeletonRows rows={4} />
      )}
      {adding && <AddUser onClose={() => setAdding(false)} />}
      {dropping && <DropUser name={dropping} onClose={() => setDropping(undefined)} />}
    </Section>
  );
}

function useChanged() {
  const client = useQueryClient();
  return () => client.invalidateQueries({ queryKey: accountsQuery.queryKey });
}

function Row({ user, self, onDrop }: { user: User; self: boolean; onDrop: () => void }) {
  const changed = useChanged();
  const change = useMutation({
    mutationFn: (body: { role?: Role; disabled?: boolean }) => changeUser(user.name, body),
    onSuccess: async (_result, body) => {
      await changed();
      const done =
        body.role !== undefined
          ? `is ${body.role} now`
          : body.disabled
            ? "cannot sign in any more"
            : "can sign in again";
      toast(`${user.name} ${done}.`);
    },
    onError: (problem) => toast(problem.message, "bad"),
  });
  return (
    <tr>
      <Td className="whitespace-nowrap font-medium">
        {user.name}
        {self && <span className="font-normal text-ink-3"> (you)</span>}
      </Td>
      <Td>
        <Select
          aria-label={`Role of ${user.name}`}
          value={user.role}
          disabled={self || change.isPending}
          className="w-28"
          onChange={(event) => change.mutate({ role: event.target.value as Role })}
        >
          {ROLES.map((role) => (
            <option key={role}>{role}</option>
          ))}
        </Select>
      </Td>
      <Td className="text-ink-2">{user.disabled ? "disabled: cannot sign in" : "active"}</Td>
      <Td num className="text-ink-2">
        {user.last_login_at ? <RelativeTime at={user.last_login_at} /> : "never"}
      </Td>
      <Td num className="text-ink-2">
        <RelativeTime at={user.created_at} />
      </Td>
      <Td>
        <span className="flex justify-end gap-1">
          {!self && (
            <>
              <Button
                small
                kind="quiet"
                busy={change.isPending}
                onClick={() => change.mutate({ disabled: !user.disabled })}
              >
                {user.disabled ? "Enable" : "Disable"}
              </Button>
              <Button small kind="quiet" onClick={onDrop}>
                Remove…
              </Button>
            </>
          )}
        </span>
      </Td>
    </tr>
  );
}

function AddUser({ onClose }: { onClose: () => void }) {
  const changed = useChanged();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const add = useMutation({ mutationFn: () => addUser({ name, role }), onSuccess: changed });
  const made = add.data;
  return (
    <Sheet
      open
      onClose={onClose}
      title={made ? `${made.name} is added` : "Add a user"}
      about={made ? undefined : "They choose their own password by a link that works once."}
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
              Add {name.trim() || "the user"} as {role}
            </Button>
          </>
        )
      }
    >
      {made ? (
        made.link ? (
          <Once
            what="Link to choose the password"
            value={made.link}
            about="Send it to them. It is shown now and never again."
          />
        ) : (
          <p>They can sign in.</p>
        )
      ) : (
        <div className="flex flex-col gap-4">
          <Field label="Name">
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
          {add.error && <ErrorState error={add.error} />}
        </div>
      )}
    </Sheet>
  );
}

function DropUser({ name, onClose }: { name: string; onClose: () => void }) {
  const changed = useChanged();
  const drop = useMutation({
    mutationFn: () => dropUser(name),
    onSuccess: async () => {
      await changed();
      toast(`${name} is removed.`);
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Remove ${name}?`}
      about="Their sessions end at once. What they did stays in the audit log under their name. To let them back later, disable instead."
      actions={
        <>
          <Button onClick={onClose}>Keep</Button>
          <Button kind="danger" busy={drop.isPending} onClick={() => drop.mutate()}>
            Remove {name}
          </Button>
        </>
      }
    >
      {drop.error && <ErrorState error={drop.error} />}
    </Dialog>
  );
}
