import { describe, expect, it } from "vitest";
import type { Connection, JsonSchema } from "../src/api/types";
import { connBody, connFields, connValues, missing } from "../src/features/connections/form";

const schema: JsonSchema = {
  type: "object",
  required: ["host", "password"],
  properties: {
    host: { type: "string" },
    port: { type: "integer", default: 5432, minimum: 1 },
    password: { type: "string", writeOnly: true },
    user: { type: "string" },
  },
};

const saved: Connection = {
  name: "warehouse",
  kind: "postgres",
  source: "store",
  used_by: [],
  fields: [
    { name: "host", source: "environment", secret: false, value: "db.internal", set: true },
    { name: "port", source: "default", secret: false, value: 5432, set: true },
    { name: "password", source: "store", secret: true, set: true },
    { name: "user", source: "store", secret: false, value: "etl", set: true },
  ],
};

describe("the form of a connection", () => {
  it("asks for what is required, and for secrets not at all once they are set", () => {
    const fresh = connFields(schema);
    expect(missing(fresh, connValues(fresh))).toEqual({ password: "This is required." });
    const known = connFields(schema, saved);
    expect(missing(known, connValues(known, saved))).toEqual({});
  });
  it("never shows a secret", () => {
    const fields = connFields(schema, saved);
    expect(connValues(fields, saved).password).toBe("");
  });
  it("sends neither what comes from elsewhere nor a secret that was left alone", () => {
    const fields = connFields(schema, saved);
    const values = connValues(fields, saved);
    expect(connBody(fields, values).params).toEqual({ port: 5432, user: "etl" });
    expect(connBody(fields, { ...values, password: "new" }).params).toMatchObject({
      password: "new",
    });
  });
  it("says what is wrong in a field", () => {
    const fields = connFields(schema, saved);
    expect(connBody(fields, { ...connValues(fields, saved), port: "0" }).errors).toEqual({
      port: "At least 1.",
    });
  });
});
