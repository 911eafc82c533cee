import { describe, expect, it } from "vitest";
import type { JsonSchema } from "../src/api/types";
import { taskSearch } from "../src/features/run/links";
import { collect, fieldsOf, taskRef, valuesOf } from "../src/features/run-actions/schema";
import { paramRows, usualOf } from "../src/features/task-run/compare";

const schema: JsonSchema = {
  type: "object",
  required: ["airport", "region"],
  properties: {
    airport: { type: "string", pattern: "^[A-Z]{4}$", default: "EDDB", description: "ICAO code." },
    region: { type: "string" },
    kind: { enum: ["both", 3, null] },
    limit: { type: "integer", minimum: 1, maximum: 100 },
    mail: { type: "boolean", default: false },
    day: { type: "string", format: "date" },
    tags: { type: "array", items: { type: "string" } },
    at: { type: ["string", "null"], format: "date-time" },
  },
};

describe("the form of a schema", () => {
  const fields = fieldsOf(schema);
  it("chooses the control", () => {
    expect(fields.map((f) => f.kind)).toEqual([
      "text",
      "text",
      "enum",
      "integer",
      "bool",
      "date",
      "json",
      "datetime",
    ]);
  });
  it("asks only for what is required and has no default", () => {
    expect(fields.filter((f) => f.required).map((f) => f.name)).toEqual(["region"]);
    expect(fields[0]?.help).toBe("ICAO code. Fits ^[A-Z]{4}$, default EDDB.");
  });
  it("starts with defaults, or with given params", () => {
    expect(valuesOf(fields).airport).toBe("EDDB");
    expect(valuesOf(fields, { limit: 7, tags: ["a"], at: "2026-11-22T02:30:00Z" })).toMatchObject({
      limit: "7",
      tags: '[\n  "a"\n]',
      at: "2026-11-22T02:30:00",
    });
  });
  it("gives back typed params and leaves out what is empty", () => {
    const { params, errors } = collect(fields, {
      airport: "EDDF",
      region: "alps",
      kind: "3",
      limit: "50",
      mail: "true",
      day: "",
      tags: '["x"]',
      at: "2026-11-22T02:30",
    });
    expect(errors).toEqual({});
    expect(params).toEqual({
      airport: "EDDF",
      region: "alps",
      kind: 3,
      limit: 50,
      mail: true,
      tags: ["x"],
      at: "2026-11-22T02:30:00.000Z",
    });
  });
  it("says what does not fit, field by field", () => {
    const { errors } = collect(fields, {
      airport: "eddf",
      region: "",
      limit: "200",
      day: "22 Nov",
      tags: "[",
    });
    expect(Object.keys(errors)).toEqual(["airport", "region", "limit", "day", "tags"]);
    expect(errors.limit).toBe("At most 100.");
  });
});

describe("links", () => {
  it("reads mapped names", () => {
    expect([taskRef("load"), taskRef("load[3]")]).toEqual(["load", { task: "load", map_index: 3 }]);
  });
  it("leaves out what does not fit", () => {
    expect(taskSearch({ map_index: "0", attempt: 2, line: -4, tab: "nowhere", with: "x" })).toEqual(
      {
        map_index: 0,
        attempt: 2,
      },
    );
  });
});

describe("params", () => {
  it("pairs written with rendered and marks what changed", () => {
    const rows = paramRows(
      { sql: "day = '{{ d }}'", opts: { limit: 5 } },
      { sql: "day = '22'", opts: { limit: 5 } },
      { sql: "day = '21'", opts: { limit: 5 } },
    );
    expect(rows).toEqual([
      {
        name: "sql",
        written: "day = '{{ d }}'",
        rendered: "day = '22'",
        same: false,
        before: { value: "day = '21'" },
      },
      { name: "opts.limit", written: 5, rendered: 5, same: true },
    ]);
  });
  it("knows no difference before it was rendered", () => {
    expect(paramRows({ a: 1 }, null, { a: 2 })[0]).toEqual({
      name: "a",
      written: 1,
      rendered: undefined,
      same: false,
    });
  });
  it("takes the usual from successes only", () => {
    expect(
      usualOf([
        { state: "failed", seconds: 99 },
        { state: "succeeded", seconds: 2 },
        { state: "succeeded", seconds: 4 },
      ]),
    ).toBe(3);
    expect(usualOf([])).toBeUndefined();
  });
});
