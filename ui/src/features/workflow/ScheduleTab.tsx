import { useQuery } from "@tanstack/react-query";
import { scheduleQuery } from "../../api/queries";
import type { SchedulePreview } from "../../api/types";
import { Section } from "../../components/Page";
import { DayTime, RelativeTime } from "../../components/When";
import { count } from "../../lib/duration";
import { dayTime } from "../../lib/time";
import { Empty, SkeletonRows } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";
import { Segments } from "../../ui/Tabs";
import { QueryError } from "../shell/Problems";

interface Props {
  workflow: string;
  n: number;
  onCount: (n: number) => void;
}

const COUNTS = [10, 25, 100] as const;

const GAP: Record<string, string> = {
  after: "A time that the clocks skip fires right after the gap.",
  skip: "A time that the clocks skip does not fire.",
};
const OVERLAP: Record<string, string> = {
  first: "A time that comes twice fires the first time only.",
  second: "A time that comes twice fires the second time only.",
  both: "A time that comes twice fires both times.",
};
const CATCHUP: Record<string, string> = {
  none: "Starts missed while the daemon was down are not run; they are counted below.",
  latest:
    "Of starts missed while the daemon was down, the latest is run; the others are counted below.",
  all: "All starts missed while the daemon was down are run.",
};

/** When it starts next, locally and in UTC, what the clock changes do to it, and what was not run. */
export default function ScheduleTab({ workflow, n, onCount }: Props) {
  const { data, error, refetch } = useQuery(scheduleQuery(workflow, n));
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  if (!data) return <SkeletonRows rows={12} />;
  return (
    <div className="grid gap-4 p-4 md:px-6 lg:grid-cols-[minmax(0,1fr)_22rem]">
      <Section
        title={data.words ?? "No schedule"}
        about={data.paused ? "paused: nothing below starts until it is unpaused" : undefined}
        actions={
          data.next.length > 0 && (
            <Segments
              label="How many"
              value={String(n)}
              options={COUNTS.map((each) => ({ value: String(each), text: `next ${each}` }))}
              onChange={(text) => onCount(Number(text))}
            />
          )
        }
      >
        {data.next.length === 0 ? (
          <Empty title="It starts by hand only">
            A <code className="font-mono">schedule:</code> in the file starts it by itself.
          </Empty>
        ) : (
          <Fires preview={data} />
        )}
      </Section>
      <div className="flex min-w-0 flex-col gap-4">
        <Rules preview={data} />
        <Skipped skipped={data.skipped} />
      </div>
    </div>
  );
}

function Fires({ preview }: { preview: SchedulePreview }) {
  const zone = preview.timezone ?? "UTC";
  return (
    <Table label="Next starts">
      <thead>
        <tr>
          <Th>In</Th>
          <Th>{zone}</Th>
          {zone !== "UTC" && <Th>UTC</Th>}
          <Th>Data from, until (UTC)</Th>
          <Th className="w-full">Note</Th>
        </tr>
      </thead>
      <tbody>
        {preview.next.map((fire) => (
          <tr key={fire.at}>
            <Td className="num text-ink-2">
              <RelativeTime at={fire.at} />
            </Td>
            <Td className="num whitespace-nowrap font-medium" title={fire.local}>
              {dayTime(fire.at, zone, Date.now())}
              {zone !== "UTC" && <span className="text-ink-3"> {fire.offset}</span>}
            </Td>
            {zone !== "UTC" && (
              <Td className="num whitespace-nowrap">{dayTime(fire.at, "UTC", Date.now())}</Td>
            )}
            <Td className="num whitespace-nowrap text-ink-2">
              {dayTime(fire.interval.start, "UTC", Date.now())}
              {fire.interval.end !== fire.interval.start &&
                ` – ${dayTime(fire.interval.end, "UTC", Date.now())}`}
            </Td>
            <Td className="min-w-40 text-ink-2">{fire.note}</Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function Rules({ preview }: { preview: SchedulePreview }) {
  const { dst, catchup, text, tzdb, start_date: start, end_date: end } = preview;
  const rows: [string, string][] = [];
  if (text) rows.push(["As written", text]);
  if (start) rows.push(["From", start]);
  if (end) rows.push(["Until", end]);
  rows.push(["Zone database", tzdb]);
  return (
    <Section title="Rules">
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 px-4 py-3">
        {rows.map(([term, value]) => (
          <div key={term} className="contents">
            <dt className="text-ink-3">{term}</dt>
            <dd className="font-mono text-xs [overflow-wrap:anywhere]">{value}</dd>
          </div>
        ))}
      </dl>
      <ul className="list-disc space-y-1 border-line border-t py-3 pr-4 pl-8 text-ink-2">
        <li>{GAP[dst.gap] ?? dst.gap}</li>
        <li>{OVERLAP[dst.overlap] ?? dst.overlap}</li>
        <li>{CATCHUP[catchup] ?? `Missed starts: ${catchup}.`}</li>
      </ul>
    </Section>
  );
}

function Skipped({ skipped }: { skipped: SchedulePreview["skipped"] }) {
  return (
    <Section title="Not run" about={count(skipped.total, "start")}>
      {skipped.recent.length === 0 ? (
        <p className="px-4 py-3 text-ink-2">No start was skipped.</p>
      ) : (
        <ul className="divide-y divide-line">
          {skipped.recent.map((each) => (
            <li key={each.from} className="px-4 py-2">
              <p>
                <b className="num font-semibold">{count(each.count, "start")}</b>,{" "}
                <DayTime at={each.from} /> – <DayTime at={each.until} />
              </p>
              <p className="text-ink-2">{each.reason}</p>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
