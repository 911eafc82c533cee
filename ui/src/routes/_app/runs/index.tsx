import { createFileRoute } from "@tanstack/react-router";
import { runsQuery } from "../../../api/queries";
import { Page } from "../../../components/Page";
import { type RunFilter, readRunFilter } from "../../../features/runs/filter";
import { RunFilters } from "../../../features/runs/RunFilters";
import { RunList } from "../../../features/runs/RunList";

export const Route = createFileRoute("/_app/runs/")({
  validateSearch: readRunFilter,
  loaderDeps: ({ search }) => readRunFilter({ ...search }),
  loader: ({ context, deps }) =>
    void context.queryClient.prefetchInfiniteQuery(runsQuery({ ...deps })),
  component: Runs,
});

function Runs() {
  const search = Route.useSearch();
  const filter = readRunFilter({ ...search });
  const navigate = Route.useNavigate();
  const set = (change: { [K in keyof RunFilter]?: RunFilter[K] | undefined }) =>
    void navigate({
      search: (previous) => readRunFilter({ ...previous, ...change }),
      replace: true,
    });
  return (
    <Page title="Runs" actions={<RunFilters filter={filter} onChange={set} />}>
      <div className="bg-surface">
        <RunList query={runsQuery({ ...filter })} empty="No run fits this filter" />
      </div>
    </Page>
  );
}
