import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { runEventsQuery, runViewQuery } from "../../api/queries";
import type { Run, RunEvent, RunView } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { StateBadge, TriggerGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { duration } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { isLive, TRIGGER_WORDS } from "../../lib/states";
import { clock, day, dayTime } from "../../lib/time";
import { cx } from "../../ui/cx";
import { Skeleton } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";
import { TabBar, tabClass } from "../../ui/Tabs";
import { ActLink } from "../run-actions/ActLink";
import { QueryError } from "../shell/Problems";
import { Events } from "./Events";
import { Fact, Frame, Named } from "./Frame";
import type { RunTab } from "./links";
import { Params } from "./Params";
import { Tasks } from "./Tasks";
import { Timeline } from "./Timeline";
import type { Order } from "./timeline";

const GraphTab = lazy(() => import("./GraphTab"));

export interface RunSearch {
  tab?: RunTab;
  order?: Order;
}

interface Props {
  run: string;
  search: RunSearch;
  onSearch: (search: RunSearch) => void;
}

/** What happened in one run: the sentence, then the timeline. */
export function RunPage({ run, search, onSearch }: Props) {
  const tab = search.tab ?? "timeline";
  // One read a page: with the events where they are shown. What is known of the run stays while they come.
  const known = useQuery({ ...runViewQuery(run), enabled: tab !== "events" });
  const withEvents = useQuery({ ...runEventsQuery(run), enabled: tab === "events" });
  const query = tab === "events" ? withEvents : known;
  const view = query.data ?? known.data;
  if (query.error && !view)
    return <QueryError error={query.error} onRetry={() => void query.refetch()} />;
  return (
    <Frame
      title={view ? `${view.run.workflow} ${view.run.state}` : "Run"}
      crumbs={view ? <Crumbs run={view.run} /> : <Skeleton className="h-5 w-64" />}
      facts={view ? <Facts view={view} /> : <Skeleton className="w-80" />}
      sentence={
        view ? (
          <Sentence text={view.run.sentence} />
        ) : (
          <Skeleton className="mt-0.5 w-96 max-w-full" />
        )
      }
      actions={view ? <Actions view={view} /> : <Skeleton className="h-8 w-64" />}
      tabs={<RunTabs run={run} tab={tab} view={view} />}
    >
      {view ? (
        <Content
          view={view}
          events={withEvents.data?.events.items}
          tab={tab}
          search={search}
          onSearch={onSearch}
        />
      ) : (
        <TimelineSkeleton />
      )}
    </Frame>
  );
}

function Content({
  view,
  events,
  tab,
  search,
  onSearch,
}: Omit<Props, "run"> & { view: RunView; events: RunEvent[] | undefined; tab: RunTab }) {
  switch (tab) {
    case "timeline":
      return (
        <Timeline
          view={view}
          order={search.order ?? "file"}
          onOrder={(order) => onSearch({ ...search, order })}
        />
      );
    case "graph":
      return (
        <Suspense fallback={<TimelineSkeleton />}>
          <GraphTab view={view} />
        </Suspense>
      );
    case "tasks":
      return <Tasks view={view} />;
    case "events":
      return <Events run={view.run.id} items={events} />;
    case "params":
      return <Params view={view} />;
  }
}

function Sentence({ text }: { text: string }) {
  return (
    <p title={text.replaceAll("`", "")} className="[overflow-wrap:anywhere] md:truncate">
      <Named text={text} />
    </p>
  );
}

function Crumbs({ run }: { run: Run }) {
  return (
    <>
      <Link
        to="/workflows/$workflow"
        params={{ workflow: run.workflow }}
        className="touch inline-flex items-center text-ink no-underline hover:underline"
      >
        {run.workflow}
      </Link>
      <span aria-hidden="true" className="text-ink-3">
        /
      </span>
      <DayTime at={run.logical_date} className="font-medium text-ink-2" />
    </>
  );
}

function Facts({ view }: { view: RunView }) {
  const { run } = view;
  const zone = useZone();
  const { start, end } = run.data_interval;
  const seconds = run.seconds ?? undefined;
  return (
    <>
      <StateBadge state={run.state} masked={run.masked} className="text-ink text-sm" />
      {isLive(run.state) && run.started_at ? (
        <Fact name="running">
          <Elapsed since={run.started_at} usual={view.usual.seconds} />
        </Fact>
      ) : (
        seconds !== undefined && (
          <Fact name="ran">
            <span className="num">
              {duration(seconds)}
              {view.usual.seconds != null && `, usual ${duration(view.usual.seconds)}`}
            </span>
          </Fact>
        )
      )}
      {run.wait_seconds != null && run.wait_seconds >= 1 && (
        <Fact name="queued">
          <span className="num">{duration(run.wait_seconds)}</span>
        </Fact>
      )}
      <span className="inline-flex items-center gap-1 whitespace-nowrap" title={`by ${run.by}`}>
        <TriggerGlyph trigger={run.trigger} />
        {TRIGGER_WORDS[run.trigger]}
        {run.trigger !== "schedule" && `, ${run.by}`}
      </span>
      <Fact name="version">
        <span className="num">
          {run.version}
          {run.version_is_newest ? "" : " (not the newest)"}
        </span>
      </Fact>
      {start !== end && (
        <Fact name="interval">
          <span className="num">
            {dayTime(start, zone, Date.parse(end))} –{" "}
            {day(start, zone) === day(end, zone)
              ? clock(end, zone)
              : dayTime(end, zone, Date.parse(end))}
          </span>
        </Fact>
      )}
      {run.generation > 1 && <Fact name="taken up again">{run.generation - 1}×</Fact>}
      {run.note && (
        <span className="truncate text-ink-2" title={run.note}>
          “{run.note}”
        </span>
      )}
    </>
  );
}

function Actions({ view }: { view: RunView }) {
  const { run, previous, next } = view;
  const { retry, cancel, rerun, mark, repair } = run.actions;
  return (
    <>
      {retry && (
        <ActLink sheet="retry" of={run.id} kind="primary" icon="retry">
          <span>
            Re-run failed <span className="max-md:hidden">+ downstream </span>({retry.tasks})
          </span>
        </ActLink>
      )}
      {!retry && rerun && (
        <ActLink sheet="retry" of={run.id} pick={["*"]} icon="retry">
          {rerun.label}…
        </ActLink>
      )}
      {mark && (
        <ActLink sheet="mark" of={run.id}>
          Mark…
        </ActLink>
      )}
      {cancel && (
        <ActLink sheet="cancel" of={run.id} kind="danger" className="ml-2">
          Cancel ({cancel.tasks})…
        </ActLink>
      )}
      {repair && (
        <span className="text-ink-2 text-xs">Repair: updraft runs repair {run.id.slice(0, 8)}</span>
      )}
      <span className="ml-1 flex items-center">
        <Neighbour run={previous} icon="chevronLeft" label="Previous run" />
        <Neighbour run={next} icon="chevronRight" label="Next run" />
      </span>
    </>
  );
}

function Neighbour({
  run,
  icon,
  label,
}: {
  run: string | null | undefined;
  icon: "chevronLeft" | "chevronRight";
  label: string;
}) {
  const look = "touch inline-flex size-8 items-center justify-center rounded-md";
  if (!run)
    return (
      <span className={cx(look, "opacity-30")} aria-hidden="true">
        <Icon name={icon} />
      </span>
    );
  return (
    <Link
      to="/runs/$run"
      params={{ run }}
      search={(({ tab, order }: RunSearch) => ({ tab, order })) as never}
      aria-label={label}
      title={label}
      className={cx(look, "text-ink-2 hover:bg-hover hover:text-ink")}
    >
      <Icon name={icon} />
    </Link>
  );
}

const WORDS: Record<RunTab, string> = {
  timeline: "Timeline",
  graph: "Graph",
  tasks: "Tasks",
  events: "Events",
  params: "Params",
};

function RunTabs({ run, tab, view }: { run: string; tab: RunTab; view: RunView | undefined }) {
  return (
    <TabBar label="Views of the run">
      {(Object.keys(WORDS) as RunTab[]).map((each) => (
        <Link
          key={each}
          to="/runs/$run"
          params={{ run }}
          search={(each === "timeline" ? {} : { tab: each }) as never}
          activeOptions={{ exact: true }}
          className={tabClass(each === tab)}
          aria-current={each === tab ? "page" : undefined}
        >
          {WORDS[each]}
          {each === "tasks" && view && (
            <span className="num text-2xs text-ink-3">
              {view.run.tasks_done}/{view.run.tasks_total}
            </span>
          )}
        </Link>
      ))}
    </TabBar>
  );
}

/** The places of toolbar, axis and rows, and nothing that could be read as a fact. */
function TimelineSkeleton() {
  return (
    <div role="status" aria-label="Loading" className="bg-surface">
      <div className="flex h-11 items-center px-4 md:px-6">
        <Skeleton className="h-7 w-40" />
      </div>
      <div className="h-7 border-line border-y" />
      {Array.from({ length: 12 }, (_, i) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
          key={i}
          className="flex h-9 items-center gap-4 border-line border-b px-4 md:px-6"
        >
          <Skeleton className="w-48" />
          <Skeleton className="flex-1" />
        </div>
      ))}
    </div>
  );
}
