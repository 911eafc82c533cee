/** A connection's form: its kind's schema, what is set, and from where. Pure. */

import type { Connection, ConnectionField, FieldSource, JsonSchema } from "../../api/types";
import { collect, type FormField, fieldsOf, shown, type Values } from "../run-actions/schema";

export interface ConnField extends FormField {
  secret: boolean;
  source: FieldSource;
  set: boolean;
  /** It comes from the environment or the file, which win over the store: not to be changed here. */
  fixed: boolean;
}

export const SOURCE_WORDS: Readonly<Record<FieldSource, string>> = {
  environment: "from the environment",
  file: "from updraft.yaml",
  store: "stored here",
  default: "default",
  unset: "not set",
};

const isSecret = (schema: JsonSchema) => schema.writeOnly === true || schema["x-secret"] === true;

export function connFields(schema: JsonSchema, connection?: Connection): ConnField[] {
  const known = new Map<string, ConnectionField>(
    connection?.fields.map((field) => [field.name, field]),
  );
  return fieldsOf(schema).map((field) => {
    const now = known.get(field.name);
    const secret = isSecret(field.schema) || now?.secret === true;
    const source = now?.source ?? (field.schema.default === undefined ? "unset" : "default");
    return {
      ...field,
      secret,
      source,
      set: now?.set ?? false,
      fixed: source === "environment" || source === "file",
      // A secret that is set need not be given again.
      required: field.required && !(secret && now?.set),
    };
  });
}

/** What the form shows at first: never a secret. */
export function connValues(fields: readonly ConnField[], connection?: Connection): Values {
  const known = new Map(connection?.fields.map((field) => [field.name, field.value]));
  return Object.fromEntries(
    fields.map((field) => [
      field.name,
      field.secret ? "" : shown(known.get(field.name) ?? field.schema.default, field.kind),
    ]),
  );
}

/** What is sent: not what comes from elsewhere, and no secret that was left alone. */
export function connBody(fields: readonly ConnField[], values: Values) {
  const own = fields.filter((field) => !field.fixed);
  return collect(
    own.filter((field) => !(field.secret && (values[field.name] ?? "") === "")),
    values,
  );
}

/** Missing required secrets are errors too, though they are left out of the body. */
export function missing(fields: readonly ConnField[], values: Values): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const field of fields)
    if (field.secret && field.required && !field.fixed && !values[field.name])
      errors[field.name] = "This is required.";
  return errors;
}
