import type { Worker } from "../../api/types";
import { RelativeTime } from "../../components/When";
import { roughDuration } from "../../lib/duration";
import { cx } from "../../ui/cx";
import { Empty } from "../../ui/Feedback";
import { Icon, type IconName } from "../../ui/Icon";
import { Table, Td, Th } from "../../ui/Table";

interface Look {
  icon: IconName;
  tone: string;
  word: string;
}

const LOOK: Readonly<Record<string, Look>> = {
  active: { icon: "check", tone: "text-ok", word: "Answers" },
  suspect: { icon: "warn", tone: "text-warn", word: "Suspect: answers late" },
  draining: { icon: "out", tone: "text-wait", word: "Draining: takes nothing new" },
  dead: { icon: "close", tone: "text-bad", word: "Dead" },
  gone: { icon: "close", tone: "text-mute", word: "Gone, in order" },
};

const UNKNOWN = (word: string): Look => ({ icon: "help", tone: "text-ink-3", word });

/** Who does the work, how much of it, and whether it still answers. */
export function Workers({ workers }: { workers: readonly Worker[] }) {
  if (workers.length === 0)
    return (
      <Empty title="No worker has registered">
        Nothing runs until a process with the role worker is started.
      </Empty>
    );
  return (
    <Table label="Workers">
      <thead>
        <tr>
          <Th>State</Th>
          <Th>Worker</Th>
          <Th>Host, process</Th>
          <Th>Slots in use</Th>
          <Th className="w-full">Queues</Th>
          <Th>Build</Th>
          <Th num>Last seen</Th>
          <Th num>Lease</Th>
        </tr>
      </thead>
      <tbody>
        {workers.map((worker) => (
          <tr key={worker.no}>
            <Td>
              <State worker={worker} />
            </Td>
            <Td className="whitespace-nowrap font-medium">{worker.name}</Td>
            <Td className="num text-ink-2">
              {worker.host}, {worker.pid}
            </Td>
            <Td>
              <Slots worker={worker} />
            </Td>
            <Td className="text-ink-2">{worker.queues.join(", ")}</Td>
            <Td className="font-mono text-ink-2 text-xs">{worker.build}</Td>
            <Td num className="text-ink-2">
              {worker.last_seen_seconds == null
                ? "—"
                : `${roughDuration(worker.last_seen_seconds)} ago`}
            </Td>
            <Td num className="text-ink-2">
              <RelativeTime at={worker.lease_until} />
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function State({ worker }: { worker: Worker }) {
  const { icon, tone, word } = LOOK[worker.state] ?? UNKNOWN(worker.state);
  const proof = worker.state === "dead" && worker.evidence ? ", its process is gone" : "";
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap">
      <Icon name={icon} className={tone} />
      {word}
      {proof}
    </span>
  );
}

const MOST = 32;

/** A block a slot, filled where it is taken. */
function Slots({ worker }: { worker: Worker }) {
  return (
    <span className="flex items-center gap-2">
      {worker.slots <= MOST && (
        <span className="flex gap-0.5" aria-hidden="true">
          {Array.from({ length: worker.slots }, (_, i) => (
            <span
              // biome-ignore lint/suspicious/noArrayIndexKey: slots are all alike
              key={i}
              className={cx(
                "h-3 w-2 border",
                i < worker.busy ? "border-run bg-run" : "border-line-strong",
              )}
            />
          ))}
        </span>
      )}
      <span className="num text-ink-2">
        {worker.busy} of {worker.slots}
      </span>
    </span>
  );
}
