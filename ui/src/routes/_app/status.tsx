import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { statusQuery } from "../../api/queries";
import type { Status as StatusData } from "../../api/types";
import { Page, Section } from "../../components/Page";
import { RelativeTime } from "../../components/When";
import { BrokenFiles } from "../../features/home/Now";
import { QueryError } from "../../features/shell/Problems";
import { Catalog, Queues, Store, Upkeep } from "../../features/status/Parts";
import { Workers } from "../../features/status/Workers";
import { Skeleton, SkeletonRows } from "../../ui/Feedback";

export const Route = createFileRoute("/_app/status")({
  loader: ({ context }) => void context.queryClient.prefetchQuery(statusQuery),
  component: Status,
});

function Status() {
  const { data, error, refetch } = useQuery(statusQuery);
  return (
    <Page
      title="Status"
      facts={
        data ? (
          <>
            <span>
              version {data.version}{" "}
              {data.build !== `updraft ${data.version}` && (
                <span className="font-mono text-xs">{data.build}</span>
              )}
            </span>
            <span>
              started <RelativeTime at={data.started_at} />
            </span>
          </>
        ) : (
          <Skeleton className="w-64" />
        )
      }
    >
      {data ? (
        <Loaded status={data} />
      ) : error ? (
        <QueryError error={error} onRetry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={12} />
      )}
    </Page>
  );
}

function Loaded({ status }: { status: StatusData }) {
  const { broken, conflicts } = status.catalog;
  return (
    <div className="grid items-start gap-4 p-4 md:px-6 lg:grid-cols-2">
      <Section title="Workers" className="lg:col-span-2">
        <Workers workers={status.workers} />
      </Section>
      <div className="flex min-w-0 flex-col gap-4">
        <Section title="Queues">
          <Queues queues={status.queues} />
        </Section>
        <Section title="Catalog">
          <Catalog catalog={status.catalog} conflicts={conflicts} />
        </Section>
        {broken.length > 0 && (
          <Section title="Broken files" about="the last good version keeps running">
            <BrokenFiles files={broken} />
          </Section>
        )}
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Section title="Store and schedules">
          <Store status={status} />
        </Section>
        <Section title="Upkeep" about="the daemon's own work">
          <Upkeep items={status.upkeep} />
        </Section>
      </div>
    </div>
  );
}
