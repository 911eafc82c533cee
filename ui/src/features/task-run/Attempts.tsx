import { Link } from "@tanstack/react-router";
import type { Attempt, Outcome, TaskRun, TaskState } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { StateGlyph } from "../../components/StateGlyph";
import { duration } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { clockSeconds, exact } from "../../lib/time";
import { cx } from "../../ui/cx";
import { Table, Td, Th } from "../../ui/Table";
import { type TaskSearch, taskLink } from "../run/links";

const OUTCOMES: Record<Outcome, { state: TaskState; word: string }> = {
  succeeded: { state: "succeeded", word: "Succeeded" },
  skipped: { state: "skipped", word: "Skipped" },
  deferred: { state: "deferred", word: "Deferred" },
  failed: { state: "failed", word: "Failed" },
  timed_out: { state: "failed", word: "Timed out" },
  lost: { state: "failed", word: "Lost" },
  cancelled: { state: "cancelled", word: "Cancelled" },
};

export function outcomeOf(attempt: Attempt): { state: TaskState; word: string } {
  if (attempt.outcome) return OUTCOMES[attempt.outcome];
  if (attempt.state === "ready") return { state: "ready", word: "Ready" };
  if (attempt.state === "retry_wait") return { state: "retry_wait", word: "Retry wait" };
  return { state: "running", word: "Running" };
}

interface Props {
  run: string;
  task: TaskRun;
  chosen: number | undefined;
  beside: number | undefined;
}

/** Every attempt has a row with its cause, also the one that never started. */
export function Attempts({ run, task, chosen, beside }: Props) {
  const attempts = [...task.attempts].sort((a, b) => b.n - a.n);
  const many = new Set(attempts.map((attempt) => attempt.generation)).size > 1;
  const link = (more: TaskSearch) => taskLink(run, task.task, task.map_index, more);
  return (
    <>
      <ul aria-label="Attempts" className="border-line border-b bg-surface md:hidden">
        {attempts.map((attempt) => (
          <PhoneRow
            key={attempt.n}
            attempt={attempt}
            link={link({ attempt: attempt.n })}
            chosen={attempt.n === chosen}
          />
        ))}
      </ul>
      <Table
        label="Attempts"
        className="max-h-[30vh] shrink-0 overflow-y-auto border-line border-b bg-surface max-md:hidden"
      >
        <thead className="sticky top-0 z-10 bg-surface">
          <tr>
            <Th num className="w-12">
              <span className="sr-only">Attempt</span>#
            </Th>
            <Th className="w-28">Outcome</Th>
            <Th>Cause</Th>
            <Th num className="w-20">
              Started
            </Th>
            <Th num className="w-20">
              Waited
            </Th>
            <Th num className="w-24">
              Ran
            </Th>
            <Th className="w-24">Worker</Th>
            {attempts.length > 1 && (
              <Th className="w-32">
                <span className="sr-only">Compare</span>
              </Th>
            )}
          </tr>
        </thead>
        <tbody>
          {attempts.map((attempt) => {
            const { state, word } = outcomeOf(attempt);
            const here = attempt.n === chosen;
            return (
              <tr
                key={attempt.n}
                data-attempt={attempt.n}
                className={cx("relative hover:bg-hover/60", here && "bg-sunken")}
              >
                <Td
                  num
                  className={cx("border-l-2", here ? "border-l-ink" : "border-l-transparent")}
                >
                  <Link
                    {...link({ attempt: attempt.n })}
                    replace
                    aria-current={here ? "true" : undefined}
                    aria-label={`Attempt ${attempt.n}: ${word}`}
                    className="font-semibold text-ink no-underline after:absolute after:inset-0"
                  >
                    {attempt.n}
                  </Link>
                </Td>
                <Td>
                  <span className="inline-flex items-center gap-1.5 align-middle font-medium text-xs">
                    <StateGlyph state={state} silent />
                    {word}
                  </span>
                  {many && (
                    <span className="ml-2 text-2xs text-ink-3">gen {attempt.generation}</span>
                  )}
                </Td>
                <Td className="text-xs">
                  <Cause attempt={attempt} />
                </Td>
                <Td num className="text-xs">
                  <Started attempt={attempt} />
                </Td>
                <Td num className="text-xs">
                  {attempt.wait_seconds == null ? "—" : duration(attempt.wait_seconds)}
                </Td>
                <Td num className="text-xs">
                  <Ran attempt={attempt} />
                </Td>
                <Td className="text-ink-2 text-xs">{attempt.worker ?? "none"}</Td>
                {attempts.length > 1 && (
                  <Td className="text-right text-xs">
                    {!here && chosen !== undefined && attempt.log && (
                      <Link
                        {...link({
                          attempt: chosen,
                          ...(beside === attempt.n ? {} : { with: attempt.n }),
                        })}
                        replace
                        className="relative z-10 inline-flex h-6 items-center whitespace-nowrap text-ink-2 underline decoration-line-strong underline-offset-2 hover:text-ink"
                      >
                        {beside === attempt.n ? "Close" : `Beside attempt ${chosen}`}
                      </Link>
                    )}
                  </Td>
                )}
              </tr>
            );
          })}
        </tbody>
      </Table>
    </>
  );
}

function Cause({ attempt }: { attempt: Attempt }) {
  const bad = attempt.outcome && OUTCOMES[attempt.outcome].state === "failed";
  return (
    <span className={cx("[overflow-wrap:anywhere]", bad ? "text-bad" : "text-ink-2")}>
      {attempt.cause_words}
    </span>
  );
}

/** What is said in place of a start that is not known. */
const STARTS: Record<string, string> = { live: "not yet", lost: "unknown" };

function Started({ attempt }: { attempt: Attempt }) {
  const zone = useZone();
  if (!attempt.started_at)
    return <span className="text-ink-3">{STARTS[attempt.outcome ?? "live"] ?? "never"}</span>;
  return (
    <time dateTime={attempt.started_at} title={exact(attempt.started_at, zone)}>
      {clockSeconds(attempt.started_at, zone)}
    </time>
  );
}

function Ran({ attempt }: { attempt: Attempt }) {
  if (attempt.seconds != null) return duration(attempt.seconds);
  if (!attempt.outcome && attempt.started_at) return <Elapsed since={attempt.started_at} />;
  return "—";
}

function PhoneRow({
  attempt,
  link,
  chosen,
}: {
  attempt: Attempt;
  link: ReturnType<typeof taskLink>;
  chosen: boolean;
}) {
  const { state, word } = outcomeOf(attempt);
  return (
    <li
      data-attempt={attempt.n}
      className={cx(
        "relative flex min-h-11 items-start gap-3 border-l-2 px-4 py-2",
        chosen ? "border-l-ink bg-sunken" : "border-l-transparent",
      )}
    >
      <StateGlyph state={state} className="mt-0.5" silent />
      <div className="min-w-0 flex-1 text-xs">
        <div className="flex items-baseline justify-between gap-3">
          <Link
            {...link}
            replace
            aria-current={chosen ? "true" : undefined}
            className="font-semibold text-ink no-underline after:absolute after:inset-0"
          >
            Attempt {attempt.n}: {word}
          </Link>
          <span className="num text-ink-3">
            <Ran attempt={attempt} />
          </span>
        </div>
        <p>
          <Cause attempt={attempt} />
        </p>
        <p className="text-ink-3">
          started <Started attempt={attempt} />
          {attempt.wait_seconds != null && `, waited ${duration(attempt.wait_seconds)}`}
          {attempt.worker && `, ${attempt.worker}`}
        </p>
      </div>
    </li>
  );
}
