import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { workflowsQuery } from "../../../api/queries";
import type { Attention } from "../../../api/types";
import { Page } from "../../../components/Page";
import { QueryError } from "../../../features/shell/Problems";
import {
  filterWorkflows,
  readFilter,
  SORTS,
  type Sort,
  type WorkflowFilter,
} from "../../../features/workflows/filter";
import { WorkflowList } from "../../../features/workflows/WorkflowList";
import { count } from "../../../lib/duration";
import { Button } from "../../../ui/Button";
import { Empty, SkeletonRows } from "../../../ui/Feedback";
import { SearchInput, Select } from "../../../ui/Field";
import { Segments } from "../../../ui/Tabs";

export const Route = createFileRoute("/_app/workflows/")({
  validateSearch: readFilter,
  loader: ({ context }) => void context.queryClient.prefetchQuery(workflowsQuery()),
  component: Workflows,
});

const SORT_WORDS: Record<Sort, string> = {
  attention: "What needs attention first",
  name: "By name",
  last_run: "Last run first",
  next_fire: "Next start first",
};

const STATES: readonly { value: Attention | "all"; word: string }[] = [
  { value: "all", word: "All" },
  { value: "failing", word: "Failing" },
  { value: "late", word: "Late" },
  { value: "running", word: "Running" },
  { value: "paused", word: "Paused" },
];

function Workflows() {
  const filter = Route.useSearch();
  const navigate = Route.useNavigate();
  const { data, error, refetch } = useQuery(workflowsQuery());
  const items = data?.items;
  const found = useMemo(
    () => (items ? filterWorkflows(items, filter) : undefined),
    [items, filter],
  );
  const owners = useMemo(
    () => [...new Set(items?.flatMap((each) => each.owner ?? []) ?? [])].sort(),
    [items],
  );
  const set = (change: { [K in keyof WorkflowFilter]?: WorkflowFilter[K] | undefined }) =>
    void navigate({
      search: (previous) => readFilter({ ...previous, ...change }),
      replace: true,
    });

  return (
    <Page
      title="Workflows"
      facts={found && <span className="num">{count(found.total, "workflow")}</span>}
      actions={
        <>
          <SearchInput
            label="Search name, tag, owner"
            value={filter.search ?? ""}
            onChange={(event) => set({ search: event.target.value })}
            className="w-60 max-md:w-full"
          />
          <Select
            aria-label="Tag"
            className="max-w-40"
            value={filter.tag ?? ""}
            onChange={(event) => set({ tag: event.target.value })}
          >
            <option value="">Any tag</option>
            {data?.tags.map((tag) => (
              <option key={tag}>{tag}</option>
            ))}
          </Select>
          <Select
            aria-label="Owner"
            className="max-w-40"
            value={filter.owner ?? ""}
            onChange={(event) => set({ owner: event.target.value })}
          >
            <option value="">Any owner</option>
            {owners.map((owner) => (
              <option key={owner}>{owner}</option>
            ))}
          </Select>
          <span className="max-w-full overflow-x-auto [scrollbar-width:none]">
            <Segments
              label="State"
              value={filter.state ?? "all"}
              options={STATES.map(({ value, word }) => ({
                value,
                text: found
                  ? `${word} ${value === "all" ? found.total : found.counts[value]}`
                  : word,
              }))}
              onChange={(state) => set({ state: state === "all" ? undefined : state })}
            />
          </span>
          <Select
            aria-label="Order"
            value={filter.sort ?? "attention"}
            onChange={(event) => set({ sort: event.target.value as Sort })}
          >
            {SORTS.map((sort) => (
              <option key={sort} value={sort}>
                {SORT_WORDS[sort]}
              </option>
            ))}
          </Select>
        </>
      }
    >
      {found ? (
        found.rows.length > 0 ? (
          <WorkflowList rows={found.rows} />
        ) : (
          <None filtered={items?.length !== 0} clear={() => void navigate({ search: {} })} />
        )
      ) : error ? (
        <QueryError error={error} onRetry={() => void refetch()} />
      ) : (
        <div className="bg-surface pt-8">
          <SkeletonRows rows={20} />
        </div>
      )}
    </Page>
  );
}

function None({ filtered, clear }: { filtered: boolean; clear: () => void }) {
  return filtered ? (
    <Empty
      title="No workflow fits this filter"
      action={<Button onClick={clear}>Show all</Button>}
    />
  ) : (
    <Empty title="There is no workflow yet">
      Put a YAML file into the workflow folder; it appears here within a second.
    </Empty>
  );
}
