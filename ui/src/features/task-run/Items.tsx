import type { ResultItem, TaskState } from "../../api/types";
import { StateGlyph } from "../../components/StateGlyph";
import { count, duration } from "../../lib/duration";
import { Empty } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";

interface Look {
  glyph: TaskState;
  word: string;
  rank: number;
}

const LOOKS: Record<string, Look> = {
  running: { glyph: "running", word: "Running", rank: -1 },
  fail: { glyph: "failed", word: "Fail", rank: 0 },
  error: { glyph: "failed", word: "Error", rank: 0 },
  warn: { glyph: "upstream_failed", word: "Warn", rank: 1 },
  skipped: { glyph: "skipped", word: "Skipped", rank: 3 },
  interrupted: { glyph: "cancelled", word: "Interrupted", rank: 1.5 },
  reused: { glyph: "succeeded", word: "Reused", rank: 2 },
  skip: { glyph: "skipped", word: "Skipped", rank: 3 },
};
const PASS: Look = { glyph: "succeeded", word: "Pass", rank: 2 };

function lookOf(state: string): Look {
  if (/^(pass|success|succeeded|ok)$/.test(state)) return PASS;
  return (
    LOOKS[state] ??
    (/fail|error/.test(state)
      ? { ...PASS, ...LOOKS.fail, word: state }
      : { ...PASS, glyph: "skipped", word: state })
  );
}

/** dbt models and tests, quality rules: a row each, failures first. */
export function Items({ items }: { items: readonly ResultItem[] }) {
  if (items.length === 0)
    return (
      <Empty title="No items">
        Quality checks, dbt models and dbt tests report their parts here; this task reported none.
      </Empty>
    );
  const rows = items
    .map((item, index) => ({ item, index, look: lookOf(item.state) }))
    .sort((a, b) => a.look.rank - b.look.rank || a.index - b.index);
  const counts = (rank: number) => rows.filter((row) => row.look.rank === rank).length;
  return (
    <div className="min-h-0 flex-1 bg-surface md:overflow-y-auto">
      <p className="num border-line border-b px-4 py-2 text-ink-2 text-xs md:px-6">
        {count(counts(0), "failure")}, {count(counts(1), "warning")}, {counts(2)} passed
        {counts(-1) > 0 && `, ${counts(-1)} running`}
      </p>
      <Table bleed label="Items">
        <thead>
          <tr>
            <Th>Result</Th>
            <Th>Kind</Th>
            <Th>Name</Th>
            <Th num>Value</Th>
            <Th num>Ran</Th>
            <Th>What it says</Th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ item, look, index }) => (
            <tr key={`${item.kind}${item.name}${index}`}>
              <Td className="whitespace-nowrap">
                <span className="inline-flex items-center gap-1.5 align-middle font-medium text-xs">
                  <StateGlyph state={look.glyph} silent />
                  {look.word}
                </span>
              </Td>
              <Td className="text-ink-3 text-xs">{item.kind}</Td>
              <Td className="text-xs [overflow-wrap:anywhere]">{item.name}</Td>
              <Td num className="text-xs">
                {item.value === null || item.value === undefined
                  ? ""
                  : typeof item.value === "number"
                    ? item.value.toLocaleString("en-US")
                    : String(item.value)}
              </Td>
              <Td num className="text-xs">
                {item.seconds == null ? "—" : duration(item.seconds)}
              </Td>
              <Td className="text-ink-2 text-xs [overflow-wrap:anywhere]">{item.message}</Td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  );
}
