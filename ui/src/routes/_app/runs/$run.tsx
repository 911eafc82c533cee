import { createFileRoute } from "@tanstack/react-router";
import { runEventsQuery, runViewQuery } from "../../../api/queries";
import { RUN_TABS } from "../../../features/run/links";
import { RunPage, type RunSearch } from "../../../features/run/RunPage";

export const Route = createFileRoute("/_app/runs/$run")({
  validateSearch: (search: Record<string, unknown>): RunSearch => {
    const tab = RUN_TABS.find((each) => each === search.tab);
    return {
      ...(tab && tab !== "timeline" ? { tab } : {}),
      ...(search.order === "start" ? { order: "start" } : {}),
    };
  },
  loaderDeps: ({ search }) => ({ events: search.tab === "events" }),
  loader: ({ context: { queryClient }, params: { run }, deps }) =>
    deps.events
      ? void queryClient.prefetchQuery(runEventsQuery(run))
      : void queryClient.prefetchQuery(runViewQuery(run)),
  component: Run,
});

function Run() {
  const { run } = Route.useParams();
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <RunPage
      key={run}
      run={run}
      search={search}
      onSearch={(next) =>
        void navigate({ search: (before) => ({ ...before, ...next }), replace: true })
      }
    />
  );
}
