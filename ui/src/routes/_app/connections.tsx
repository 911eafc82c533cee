import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { connectionsQuery } from "../../api/queries";
import type { Connection } from "../../api/types";
import { Page } from "../../components/Page";
import { RelativeTime } from "../../components/When";
import { useMay } from "../../features/shell/may";
import { QueryError } from "../../features/shell/Problems";
import { count } from "../../lib/duration";
import { Button } from "../../ui/Button";
import { Empty, SkeletonRows } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";
import { Table, Td, Th } from "../../ui/Table";

const ConnectionSheet = lazy(() =>
  import("../../features/connections/ConnectionSheet").then((m) => ({
    default: m.ConnectionSheet,
  })),
);

interface Search {
  name?: string;
  add?: true;
}

export const Route = createFileRoute("/_app/connections")({
  validateSearch: (search: Record<string, unknown>): Search =>
    typeof search.name === "string"
      ? { name: search.name }
      : search.add === true
        ? { add: true }
        : {},
  loader: ({ context }) => void context.queryClient.prefetchQuery(connectionsQuery),
  component: Connections,
});

function Connections() {
  const { name, add } = Route.useSearch();
  const navigate = Route.useNavigate();
  const { data, error, refetch } = useQuery(connectionsQuery);
  const allowed = useMay("editor");
  const open = name !== undefined || add === true;
  const chosen = data?.items.find((each) => each.name === name);
  const close = () => void navigate({ search: {} });
  return (
    <Page
      title="Connections"
      facts="what tasks reach by name; a field comes from the environment, else from updraft.yaml, else from here"
      actions={
        <Button
          kind="primary"
          icon="plus"
          {...allowed}
          onClick={() => void navigate({ search: { add: true } })}
        >
          New connection
        </Button>
      }
    >
      <div className="bg-surface">
        {data ? (
          data.items.length === 0 ? (
            <Empty title="There is no connection yet">
              Tasks that reach a database or a service name one by <code>conn:</code>.
            </Empty>
          ) : (
            <List items={data.items} />
          )
        ) : error ? (
          <QueryError error={error} onRetry={() => void refetch()} />
        ) : (
          <SkeletonRows rows={6} />
        )}
      </div>
      <Suspense>
        {open && data && (add || chosen) && (
          <ConnectionSheet
            key={name ?? "new"}
            kinds={data.forms ?? []}
            connection={chosen}
            onClose={close}
          />
        )}
      </Suspense>
    </Page>
  );
}

const SOURCES: Record<Connection["source"], string> = {
  environment: "environment",
  file: "updraft.yaml",
  store: "stored here",
  default: "defaults",
  unset: "not set",
};

function List({ items }: { items: readonly Connection[] }) {
  return (
    <Table bleed label="Connections">
      <thead>
        <tr>
          <Th>Name</Th>
          <Th>Kind</Th>
          <Th>From</Th>
          <Th className="w-full">Secrets</Th>
          <Th>Used by</Th>
          <Th num>Changed</Th>
        </tr>
      </thead>
      <tbody>
        {items.map((each) => (
          <tr key={each.name} className="hover:bg-hover">
            <Td>
              <Link
                to="/connections"
                search={{ name: each.name }}
                className="touch inline-flex items-center gap-2 font-medium underline-offset-2 hover:underline"
              >
                {each.error && <Icon name="warn" className="text-bad" />}
                {each.name}
              </Link>
            </Td>
            <Td>{each.kind}</Td>
            <Td className="text-ink-2">{SOURCES[each.source]}</Td>
            <Td className="min-w-56 text-ink-2">{each.error ?? secrets(each)}</Td>
            <Td className="num text-ink-2">{count(each.used_by.length, "task")}</Td>
            <Td num className="text-ink-2">
              {each.updated_at ? (
                <>
                  <RelativeTime at={each.updated_at} />
                  {each.updated_by && ` by ${each.updated_by}`}
                </>
              ) : (
                ""
              )}
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function secrets(connection: Connection): string {
  const list = connection.fields.filter((field) => field.secret);
  if (list.length === 0) return "has none";
  return list.map((field) => `${field.name} ${field.set ? "is set" : "is not set"}`).join(", ");
}
