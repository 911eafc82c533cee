import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { homeQuery } from "../../api/queries";
import type { Home as HomeData } from "../../api/types";
import { Page, Section } from "../../components/Page";
import { Counters } from "../../features/home/Counters";
import { Incidents } from "../../features/home/Incidents";
import { BrokenFiles, NextFires, Running, Waiting } from "../../features/home/Now";
import { QueryError } from "../../features/shell/Problems";
import { Empty, Skeleton, SkeletonRows } from "../../ui/Feedback";

export const Route = createFileRoute("/_app/")({
  loader: ({ context }) => void context.queryClient.prefetchQuery(homeQuery),
  component: Home,
});

function Home() {
  const { data, error, refetch } = useQuery(homeQuery);
  return (
    <Page title="Home" facts={data ? <Counters home={data} /> : <Skeleton className="h-5 w-96" />}>
      {data ? (
        <Loaded home={data} />
      ) : error ? (
        <QueryError error={error} onRetry={() => void refetch()} />
      ) : (
        <Loading />
      )}
    </Page>
  );
}

const grid = "grid gap-4 p-4 md:px-6 lg:grid-cols-[minmax(0,1fr)_24rem]";

function Loaded({ home }: { home: HomeData }) {
  const { incidents, running, waiting, next, broken_files: broken } = home;
  return (
    <div className={grid}>
      <div className="flex min-w-0 flex-col gap-4">
        <Section
          title="Incidents"
          about={`newest first; ${home.window.label}, and what is wrong now`}
        >
          {incidents.length > 0 ? (
            <Incidents incidents={incidents} />
          ) : (
            <Empty title="Nothing failed, nothing is late">
              Of the {home.window.label}, all {home.counts.succeeded.toLocaleString("en-US")}{" "}
              succeeded.
            </Empty>
          )}
        </Section>
        {waiting.length > 0 && (
          <Section title="Waiting, and why">
            <Waiting items={waiting} />
          </Section>
        )}
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Section title="Running now" about={running.length > 0 ? "elapsed, usual" : undefined}>
          {running.length > 0 ? <Running runs={running} /> : <Line>No run is under way.</Line>}
        </Section>
        <Section title="Next starts">
          {next.length > 0 ? <NextFires items={next} /> : <Line>No schedule is active.</Line>}
        </Section>
        {broken.length > 0 && (
          <Section title="Broken files" about="the last good version keeps running">
            <BrokenFiles files={broken} />
          </Section>
        )}
      </div>
    </div>
  );
}

function Line({ children }: { children: string }) {
  return <p className="px-4 py-3 text-ink-2">{children}</p>;
}

/** The places of what comes, and no word about it. */
function Loading() {
  return (
    <div className={grid}>
      <div className="rounded-lg border border-line bg-surface">
        <SkeletonRows rows={7} height={88} />
      </div>
      <div className="hidden rounded-lg border border-line bg-surface lg:block">
        <SkeletonRows rows={9} height={44} />
      </div>
    </div>
  );
}
