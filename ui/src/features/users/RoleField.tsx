import type { Role } from "../../api/types";
import { Field, Select } from "../../ui/Field";

export const ROLES: readonly Role[] = ["viewer", "operator", "editor", "admin"];

const MAY: Record<Role, string> = {
  viewer: "Reads everything but secrets, users and the audit log.",
  operator: "Also triggers, cancels, retries, marks and pauses.",
  editor: "Also changes connections.",
  admin: "Also users, tokens of others and the audit log.",
};

export function RoleField({ role, onChange }: { role: Role; onChange: (role: Role) => void }) {
  return (
    <Field label="Role" help={MAY[role]}>
      {(ids) => (
        <Select {...ids} value={role} onChange={(event) => onChange(event.target.value as Role)}>
          {ROLES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </Select>
      )}
    </Field>
  );
}
