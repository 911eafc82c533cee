import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { useState } from "react";
import { auditQuery, auditVerifyQuery } from "../../api/queries";
import type { AuditEntry } from "../../api/types";
import { Json } from "../../components/Json";
import { ErrorState, Page } from "../../components/Page";
import { RelativeTime } from "../../components/When";
import { type AuditFilter, readAuditFilter } from "../../features/audit/filter";
import { QueryError } from "../../features/shell/Problems";
import { count } from "../../lib/duration";
import { Button } from "../../ui/Button";
import { Banner, Empty, SkeletonRows } from "../../ui/Feedback";
import { Input } from "../../ui/Field";
import { Icon } from "../../ui/Icon";

export const Route = createFileRoute("/_app/audit")({
  validateSearch: readAuditFilter,
  loaderDeps: ({ search }) => readAuditFilter({ ...search }),
  loader: ({ context, deps }) =>
    void context.queryClient.prefetchInfiniteQuery(auditQuery({ ...deps })),
  component: Audit,
});

const FIELDS = [
  ["actor", "Who"],
  ["action", "Did what"],
  ["subject", "To what"],
] as const;

function Audit() {
  const filter = readAuditFilter({ ...Route.useSearch() });
  const navigate = Route.useNavigate();
  const set = (change: AuditFilter) =>
    void navigate({
      search: (previous) => readAuditFilter({ ...previous, ...change }),
      replace: true,
    });
  return (
    <Page
      title="Audit"
      facts="every act, newest first: who, from where, why"
      actions={FIELDS.map(([key, word]) => (
        <span key={key} className="w-40 max-md:w-28">
          <Input
            aria-label={word}
            placeholder={word}
            value={filter[key] ?? ""}
            onChange={(event) => set({ [key]: event.target.value })}
            {...(key === "actor" ? { "data-search": "" } : {})}
          />
        </span>
      ))}
    >
      <Chain />
      <Entries filter={filter} />
    </Page>
  );
}

/** Each entry carries the hash of the one before; a check reads them all. */
function Chain() {
  const { data, error, isFetching, refetch } = useQuery(auditVerifyQuery);
  if (error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  return (
    <Banner
      tone={data && !data.ok ? "bad" : "info"}
      action={
        <Button small busy={isFetching} onClick={() => void refetch()}>
          Check the chain
        </Button>
      }
    >
      {!data
        ? "Each entry carries the hash of the one before it, so a change in the middle shows."
        : data.ok
          ? `The chain of ${count(data.entries, "entry", "entries")} is whole.`
          : `The chain breaks at entry ${data.first_bad}: that entry, or one before it, was changed.`}
    </Banner>
  );
}

function Entries({ filter }: { filter: AuditFilter }) {
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery(
    auditQuery({ ...filter }),
  );
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  if (!data) return <SkeletonRows rows={16} />;
  const entries = data.pages.flatMap((page) => page.items);
  if (entries.length === 0) return <Empty title="No act fits this filter" />;
  return (
    <div className="bg-surface">
      <ul>
        {entries.map((entry) => (
          <Entry key={entry.seq} entry={entry} />
        ))}
      </ul>
      {hasNextPage && (
        <div className="flex justify-center p-4">
          <Button busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Show 50 more
          </Button>
        </div>
      )}
    </div>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const [open, setOpen] = useState(false);
  return (
    <li className="border-line border-b">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="touch grid w-full grid-cols-[1rem_minmax(0,1fr)_auto] items-center gap-x-3 px-4 py-1.5 text-left hover:bg-hover md:grid-cols-[1rem_9rem_9rem_14rem_minmax(0,1fr)_8rem_7rem] md:px-6"
      >
        <Icon name={open ? "chevronDown" : "chevronRight"} className="text-ink-3" />
        <span className="truncate max-md:order-3 max-md:col-start-2">
          <b className="font-medium">{entry.actor}</b>
          {entry.role && <span className="text-ink-3"> {entry.role}</span>}
        </span>
        <span className="truncate font-mono text-xs">{entry.action}</span>
        <span className="truncate max-md:order-4 max-md:col-start-2">{entry.subject}</span>
        <span className="truncate text-ink-2 max-md:order-5 max-md:col-start-2">
          {entry.reason}
        </span>
        <span className="truncate text-ink-3 text-xs max-md:hidden">{entry.from}</span>
        <span className="text-right text-ink-2">
          <RelativeTime at={entry.at} />
        </span>
      </button>
      {open && (
        <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 bg-sunken px-4 py-3 md:pl-13">
          <dt className="text-ink-3">Entry</dt>
          <dd className="num">{entry.seq}</dd>
          <dt className="text-ink-3">From</dt>
          <dd>{entry.from}</dd>
          <dt className="text-ink-3">Why</dt>
          <dd>{entry.reason ?? "no reason given"}</dd>
          <dt className="text-ink-3">Detail</dt>
          <dd>
            <Json value={entry.detail} />
          </dd>
          <dt className="text-ink-3">Hash</dt>
          <dd className="font-mono text-xs [overflow-wrap:anywhere]">{entry.hash}</dd>
        </dl>
      )}
    </li>
  );
}
