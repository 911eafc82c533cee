import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { homeQuery } from "../../api/queries";
import { Page } from "../../components/Page";
import { QueryError } from "../../features/shell/Problems";
import { SkeletonRows } from "../../ui/Feedback";

export const Route = createFileRoute("/_app/")({
  loader: ({ context }) => void context.queryClient.prefetchQuery(homeQuery),
  component: Home,
});

function Home() {
  const { data, error, refetch } = useQuery(homeQuery);
  return (
    <Page title="Home">
      {data ? (
        <p className="p-4">{data.window.label}</p>
      ) : error ? (
        <QueryError error={error} onRetry={() => void refetch()} />
      ) : (
        <SkeletonRows />
      )}
    </Page>
  );
}
