import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { HealthItem, Home } from "../../api/types";
import { StateGlyph } from "../../components/StateGlyph";
import type { AnyState } from "../../lib/states";
import { cx } from "../../ui/cx";
import { Icon } from "../../ui/Icon";

const item =
  "touch inline-flex items-center gap-1.5 whitespace-nowrap underline-offset-2 hover:underline";

/** One line: what is counted and over which window, then the figures, each a link to what it counts. */
export function Counters({ home }: { home: Home }) {
  const { counts, window } = home;
  const since = { since: window.since, by: "ended" };
  return (
    <div className="flex w-full min-w-0 flex-wrap items-center gap-x-6 gap-y-1 text-ink max-md:flex-nowrap max-md:overflow-x-auto max-md:[scrollbar-width:none]">
      <Group label={window.label}>
        <Figure
          state="failed"
          n={counts.failed}
          word="failed"
          search={{ state: "failed", ...since }}
        />
        <Figure
          state="succeeded"
          n={counts.succeeded}
          word="succeeded"
          search={{ state: "succeeded", ...since }}
        />
      </Group>
      <Group label="now">
        <Figure state="running" n={counts.running} word="running" search={{ state: "running" }} />
        <Figure state="queued" n={counts.queued} word="queued" search={{ state: "queued" }} />
        <span className={item}>
          <StateGlyph state="ready" silent />
          <Count n={counts.waiting_tasks} />{" "}
          {counts.waiting_tasks === 1 ? "task waits" : "tasks wait"}
        </span>
        <Link to="/workflows" search={{ state: "late" } as never} className={item}>
          <Icon name="clock" className={counts.late > 0 ? "text-warn" : "text-ink-3"} />
          <Count n={counts.late} /> late
        </Link>
      </Group>
      {counts.skipped_fires > 0 && (
        <Group label="starts, same window">
          <Link to="/status" className={item}>
            <StateGlyph state="skipped" silent />
            <Count n={counts.skipped_fires} /> skipped
          </Link>
        </Group>
      )}
      <Health items={home.health} />
    </div>
  );
}

function Group({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="flex shrink-0 items-center gap-x-3">
      <span className="whitespace-nowrap text-ink-3 text-xs">{label}</span>
      {children}
    </div>
  );
}

function Count({ n }: { n: number }) {
  return <b className="num font-semibold">{n.toLocaleString("en-US")}</b>;
}

function Figure(props: { state: AnyState; n: number; word: string; search: object }) {
  return (
    <Link to="/runs" search={props.search as never} className={item}>
      <StateGlyph state={props.state} silent />
      <Count n={props.n} /> {props.word}
    </Link>
  );
}

/** The parts of the daemon; those that are not well say how. */
function Health({ items }: { items: readonly HealthItem[] }) {
  const unwell = items.filter((each) => each.state !== "ok");
  return (
    <div className="flex min-w-0 shrink-0 items-center gap-x-3 md:ml-auto md:shrink md:flex-wrap">
      {unwell.length === 0 ? (
        <Link to="/status" className={cx(item, "text-ink-2")}>
          <Icon name="check" className="text-ok" />
          all parts answer
        </Link>
      ) : (
        unwell.map((each) => (
          <Link key={each.name} to="/status" className={cx(item, "min-w-0 md:whitespace-normal")}>
            <Icon name="warn" className={each.state === "down" ? "text-bad" : "text-warn"} />
            <span className="min-w-0">
              <b className="font-semibold">{each.name}</b> {each.text}
            </span>
          </Link>
        ))
      )}
    </div>
  );
}
