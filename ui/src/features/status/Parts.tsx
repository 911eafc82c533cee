import type { ReactNode } from "react";
import type { Status } from "../../api/types";
import { WorkflowLink } from "../../components/links";
import { RelativeTime } from "../../components/When";
import { bytes, count, roughDuration } from "../../lib/duration";
import { Icon } from "../../ui/Icon";
import { Table, Td, Th } from "../../ui/Table";

/** Terms and what they are, in two columns. */
function Terms({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-6 gap-y-1.5 px-4 py-3">
      {rows.map(([term, value]) => (
        <div key={term} className="contents">
          <dt className="text-ink-3">{term}</dt>
          <dd className="[overflow-wrap:anywhere]">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Queues({ queues }: { queues: Status["queues"] }) {
  return (
    <Table label="Queues">
      <thead>
        <tr>
          <Th className="w-full">Queue</Th>
          <Th num>Executing</Th>
          <Th num>Ready</Th>
          <Th num>Oldest waits</Th>
        </tr>
      </thead>
      <tbody>
        {queues.map((queue) => (
          <tr key={queue.queue}>
            <Td className="whitespace-nowrap font-medium">{queue.queue}</Td>
            <Td num>{queue.executing}</Td>
            <Td num>{queue.ready}</Td>
            <Td num className="text-ink-2">
              {queue.oldest_seconds == null ? "" : roughDuration(queue.oldest_seconds)}
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function Store({ status }: { status: Status }) {
  const { store, schedules, tzdb } = status;
  return (
    <Terms
      rows={[
        [
          "Store",
          <span key="store" className="inline-flex items-center gap-1.5">
            <Icon
              name={store.ok ? "check" : "warn"}
              className={store.ok ? "text-ok" : "text-bad"}
            />
            {store.kind}
            {store.latency_ms != null && `, answers in ${store.latency_ms.toFixed(1)} ms`}
          </span>,
        ],
        ["Settings", store.text],
        [
          "Durable",
          store.durable === false
            ? "no: a power cut may lose the last commits"
            : "yes: a commit survives a power cut",
        ],
        ["Schema", `version ${store.schema}`],
        ["Size", store.size_bytes == null ? "—" : bytes(store.size_bytes)],
        [
          "Schedules",
          `${count(schedules.total, "active schedule")}, ${schedules.due} due, ${schedules.skipped_fires} starts not run`,
        ],
        ["Next start", schedules.next ? <RelativeTime key="next" at={schedules.next} /> : "none"],
        ["Zone database", tzdb],
      ]}
    />
  );
}

interface CatalogProps {
  catalog: Status["catalog"];
  conflicts: Status["catalog"]["conflicts"];
}

export function Catalog({ catalog, conflicts }: CatalogProps) {
  return (
    <>
      <Terms
        rows={[
          ["Workflows", String(catalog.workflows)],
          ["Files", `${catalog.files}, ${catalog.broken.length} broken`],
          [
            "Read",
            catalog.loaded_at ? <RelativeTime key="read" at={catalog.loaded_at} /> : "not yet",
          ],
        ]}
      />
      {conflicts.map((conflict) => (
        <div key={conflict.workflow} className="border-line border-t px-4 py-3">
          <p className="flex flex-wrap items-center gap-x-2">
            <Icon name="warn" className="text-warn" />
            <WorkflowLink workflow={conflict.workflow} /> is published by more than one process; the
            later one stands.
          </p>
          <ul className="mt-1 pl-6 text-ink-2 text-xs">
            {conflict.sources.map((source) => (
              <li key={source.by + source.sha256} className="flex flex-wrap gap-x-3">
                <span>{source.by}</span>
                <span className="font-mono">{source.path}</span>
                <span className="font-mono">{source.sha256.slice(0, 12)}</span>
                <RelativeTime at={source.at} />
              </li>
            ))}
          </ul>
        </div>
      ))}
    </>
  );
}

export function Upkeep({ items }: { items: Status["upkeep"] }) {
  return (
    <Table label="Upkeep">
      <thead>
        <tr>
          <Th>Work</Th>
          <Th className="w-full">Did</Th>
          <Th num>Last</Th>
          <Th num>Next</Th>
        </tr>
      </thead>
      <tbody>
        {items.map((item) => (
          <tr key={item.name}>
            <Td className="whitespace-nowrap font-medium">{item.name}</Td>
            <Td className="text-ink-2">{item.text}</Td>
            <Td num className="text-ink-2">
              {item.last ? <RelativeTime at={item.last} /> : "never"}
            </Td>
            <Td num className="text-ink-2">
              {item.next ? <RelativeTime at={item.next} /> : "—"}
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
