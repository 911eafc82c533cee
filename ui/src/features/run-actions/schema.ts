/** A form from the JSON Schema of a workflow's params, and back to params. Pure. */

import type { JsonSchema } from "../../api/types";

export type FieldKind =
  | "enum"
  | "bool"
  | "integer"
  | "number"
  | "date"
  | "datetime"
  | "text"
  | "json";

export interface FormField {
  name: string;
  kind: FieldKind;
  title: string;
  help: string;
  required: boolean;
  schema: JsonSchema;
  /** For `enum`: the values, each shown as text. */
  options: unknown[];
}

export type Values = Record<string, string>;

const typesOf = (schema: JsonSchema): string[] =>
  Array.isArray(schema.type) ? schema.type : schema.type ? [schema.type] : [];

function kindOf(schema: JsonSchema): FieldKind {
  if (schema.enum && schema.enum.length > 0) return "enum";
  const types = typesOf(schema).filter((type) => type !== "null");
  if (types.length !== 1) return "json";
  switch (types[0]) {
    case "boolean":
      return "bool";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "string":
      return schema.format === "date"
        ? "date"
        : schema.format === "date-time"
          ? "datetime"
          : "text";
    default:
      return "json";
  }
}

/** A value as the form shows it. */
export function shown(value: unknown, kind: FieldKind): string {
  if (value === undefined || (value === null && kind !== "json" && kind !== "enum")) return "";
  if (kind === "json") return JSON.stringify(value, null, 2) ?? "";
  if (kind === "datetime" && typeof value === "string") return value.replace(/(\.\d+)?Z$/, "");
  return typeof value === "string" ? value : String(value);
}

function helpOf(schema: JsonSchema, kind: FieldKind): string {
  const limits: string[] = [];
  if (schema.minimum !== undefined && schema.maximum !== undefined)
    limits.push(`${schema.minimum} to ${schema.maximum}`);
  else if (schema.minimum !== undefined) limits.push(`at least ${schema.minimum}`);
  else if (schema.maximum !== undefined) limits.push(`at most ${schema.maximum}`);
  if (schema.maxLength !== undefined) limits.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) limits.push(`fits ${schema.pattern}`);
  if (kind === "datetime") limits.push("in UTC");
  if (kind === "json") limits.push("JSON");
  if (schema.default !== undefined && schema.default !== null)
    limits.push(
      `default ${typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default)}`,
    );
  const text = limits.join(", ");
  const said = schema.description?.trim() ?? "";
  if (!text) return said;
  const facts = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  return said ? `${said} ${facts}` : facts;
}

/** The fields in the order of the schema. */
export function fieldsOf(schema: JsonSchema): FormField[] {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const kind = kindOf(each);
    return {
      name,
      kind,
      title: each.title ?? name,
      help: helpOf(each, kind),
      // What has a default need not be filled in.
      required: required.has(name) && each.default === undefined,
      schema: each,
      options: each.enum ?? [],
    };
  });
}

/** What the form starts with: given params, else the defaults. */
export function valuesOf(
  fields: readonly FormField[],
  params: Record<string, unknown> = {},
): Values {
  return Object.fromEntries(
    fields.map((field) => [
      field.name,
      shown(field.name in params ? params[field.name] : field.schema.default, field.kind),
    ]),
  );
}

/** One value, or what is wrong with it; `undefined` where nothing was filled in. */
export function read(field: FormField, text: string): { value?: unknown; error?: string } {
  const { schema } = field;
  const trimmed = field.kind === "text" ? text : text.trim();
  if (trimmed === "") return field.required ? { error: "This is required." } : {};
  switch (field.kind) {
    case "enum": {
      const index = field.options.findIndex((option) => shown(option, "enum") === trimmed);
      return index < 0 ? { error: "Choose one of the list." } : { value: field.options[index] };
    }
    case "bool":
      return { value: trimmed === "true" };
    case "integer":
    case "number": {
      const value = Number(trimmed);
      if (!Number.isFinite(value)) return { error: "This is no number." };
      if (field.kind === "integer" && !Number.isInteger(value))
        return { error: "Only whole numbers." };
      if (schema.minimum !== undefined && value < schema.minimum)
        return { error: `At least ${schema.minimum}.` };
      if (schema.maximum !== undefined && value > schema.maximum)
        return { error: `At most ${schema.maximum}.` };
      return { value };
    }
    case "date":
      return /^\d{4}-\d{2}-\d{2}$/.test(trimmed)
        ? { value: trimmed }
        : { error: "A date, like 2026-11-22." };
    case "datetime":
      return Number.isNaN(Date.parse(`${trimmed}Z`))
        ? { error: "A time, like 2026-11-22T02:30." }
        : { value: new Date(`${trimmed}Z`).toISOString() };
    case "text":
      if (schema.minLength !== undefined && text.length < schema.minLength)
        return { error: `At least ${schema.minLength} characters.` };
      if (schema.maxLength !== undefined && text.length > schema.maxLength)
        return { error: `At most ${schema.maxLength} characters.` };
      if (schema.pattern && !matches(schema.pattern, text))
        return { error: `It has to fit ${schema.pattern}.` };
      return { value: text };
    case "json":
      try {
        return { value: JSON.parse(trimmed) as unknown };
      } catch (cause) {
        return { error: cause instanceof Error ? `No JSON: ${cause.message}` : "No JSON." };
      }
  }
}

/** A pattern that this browser cannot read is left to the server. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}

export interface Collected {
  params: Record<string, unknown>;
  errors: Record<string, string>;
}

export function collect(fields: readonly FormField[], values: Values): Collected {
  const params: Record<string, unknown> = {};
  const errors: Record<string, string> = {};
  for (const field of fields) {
    const { value, error } = read(field, values[field.name] ?? "");
    if (error) errors[field.name] = error;
    else if (value !== undefined) params[field.name] = value;
  }
  return { params, errors };
}

/** `task` or `task[3]`, as the URL has it. */
export function taskRef(name: string): string | { task: string; map_index: number } {
  const mapped = /^(.+)\[(\d+)\]$/.exec(name);
  return mapped?.[1] ? { task: mapped[1], map_index: Number(mapped[2]) } : name;
}
