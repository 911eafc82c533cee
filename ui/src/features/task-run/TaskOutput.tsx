import type { DatasetPreview, TaskRunView } from "../../api/types";
import { Json } from "../../components/Json";
import { Section } from "../../components/Page";
import { bytes, count } from "../../lib/duration";
import { Empty, ErrorNote } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";

/** What came out: the typed value, the data behind its handles, the figures. Read-only. */
export function TaskOutput({ view }: { view: TaskRunView }) {
  const has = view.output !== undefined && view.output !== null;
  if (!has && view.datasets.length === 0 && view.metrics.length === 0)
    return (
      <Empty title="No output">
        {view.task_run.state === "succeeded"
          ? "The task succeeded and returned nothing."
          : "The task has not succeeded, so it has no output."}
      </Empty>
    );
  return (
    <div className="flex min-h-0 flex-1 flex-col gap-4 p-4 md:overflow-y-auto md:px-6">
      {has && (
        <Section
          title="Value"
          about={view.task_run.output_bytes == null ? undefined : bytes(view.task_run.output_bytes)}
        >
          <div className="grid md:grid-cols-2">
            <Json value={view.output} className="p-4" />
            {view.output_schema && <Schema schema={view.output_schema} />}
          </div>
        </Section>
      )}
      {view.datasets.map((dataset) => (
        <Dataset key={dataset.uri} dataset={dataset} />
      ))}
      {view.metrics.length > 0 && (
        <Section title="Figures">
          <Table label="Figures">
            <thead>
              <tr>
                <Th>Name</Th>
                <Th num>Value</Th>
                <Th>Unit</Th>
                <Th>Labels</Th>
              </tr>
            </thead>
            <tbody>
              {view.metrics.map((metric) => (
                <tr key={`${metric.name}${JSON.stringify(metric.labels)}`}>
                  <Td className="font-mono text-xs">{metric.name}</Td>
                  <Td num>
                    {metric.unit === "bytes"
                      ? bytes(metric.value)
                      : metric.value.toLocaleString("en-US")}
                  </Td>
                  <Td className="text-ink-3 text-xs">
                    {metric.unit === "bytes" ? "" : metric.unit}
                  </Td>
                  <Td className="text-ink-2 text-xs">
                    {Object.entries(metric.labels ?? {})
                      .map(([key, value]) => `${key}=${value}`)
                      .join(", ")}
                  </Td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Section>
      )}
    </div>
  );
}

function Schema({ schema }: { schema: object }) {
  const { properties } = schema as {
    properties?: Record<string, { type?: unknown; description?: string }>;
  };
  const fields = Object.entries(properties ?? {});
  if (fields.length === 0) return null;
  return (
    <dl className="border-line p-4 text-xs max-md:border-t md:border-l">
      {fields.map(([name, field]) => (
        <div key={name} className="flex gap-3 py-0.5">
          <dt className="w-40 shrink-0 truncate font-mono">{name}</dt>
          <dd className="text-ink-3">
            {Array.isArray(field.type) ? field.type.join(" or ") : String(field.type ?? "any")}
            {field.description && `: ${field.description}`}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Dataset({ dataset }: { dataset: DatasetPreview }) {
  const facts = [
    dataset.format,
    dataset.rows == null ? undefined : count(dataset.rows, "row"),
    dataset.bytes == null ? undefined : bytes(dataset.bytes),
    dataset.sha256 ? `sha-256 ${dataset.sha256.slice(0, 12)}…` : undefined,
  ].filter(Boolean);
  return (
    <Section title={dataset.name} about={facts.join(", ")}>
      <p className="border-line border-b px-4 py-2 font-mono text-ink-2 text-xs [overflow-wrap:anywhere]">
        {dataset.uri}
      </p>
      {dataset.error && (
        <ErrorNote
          title={dataset.sample ? "Not all is shown" : "No preview"}
          detail={dataset.error}
        />
      )}
      {dataset.columns.length > 0 && (
        <div className="grid xl:grid-cols-[24rem_1fr]">
          <Table label={`Columns of ${dataset.name}`} className="border-line xl:border-r">
            <thead>
              <tr>
                <Th>Column</Th>
                <Th>Type</Th>
                <Th num>Nulls</Th>
              </tr>
            </thead>
            <tbody>
              {dataset.columns.map((column) => (
                <tr key={column.name}>
                  <Td className="font-mono text-xs">{column.name}</Td>
                  <Td className="text-ink-2 text-xs">{column.type}</Td>
                  <Td num className="text-xs">
                    {column.nulls == null ? "—" : column.nulls.toLocaleString("en-US")}
                    {column.nulls ? <Share nulls={column.nulls} rows={dataset.rows} /> : ""}
                  </Td>
                </tr>
              ))}
            </tbody>
          </Table>
          {dataset.sample && dataset.sample.length > 0 && (
            <Table
              label={`First rows of ${dataset.name}`}
              className="max-xl:border-line max-xl:border-t"
            >
              <thead>
                <tr>
                  {dataset.columns.map((column) => (
                    <Th key={column.name}>{column.name}</Th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {dataset.sample.map((row, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: sample rows have no key
                  <tr key={index}>
                    {dataset.columns.map((column, at) => (
                      <Td
                        key={column.name}
                        className="max-w-60 truncate whitespace-nowrap font-mono text-xs"
                      >
                        {row[at] === null || row[at] === undefined ? (
                          <span className="text-ink-3">null</span>
                        ) : typeof row[at] === "object" ? (
                          JSON.stringify(row[at])
                        ) : (
                          String(row[at])
                        )}
                      </Td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </Table>
          )}
        </div>
      )}
    </Section>
  );
}

function Share({ nulls, rows }: { nulls: number; rows?: number | null | undefined }) {
  if (!rows) return null;
  return <span className="ml-1 text-ink-3">{((nulls / rows) * 100).toFixed(1)} %</span>;
}
