import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { accountsQuery } from "../../api/queries";
import { Page } from "../../components/Page";
import { QueryError } from "../../features/shell/Problems";
import { Tokens } from "../../features/users/Tokens";
import { Users } from "../../features/users/Users";

export const Route = createFileRoute("/_app/users")({
  loader: ({ context }) => void context.queryClient.prefetchQuery(accountsQuery),
  component: UsersPage,
});

function UsersPage() {
  const { data, error, refetch } = useQuery(accountsQuery);
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  return (
    <Page title="Users and tokens">
      <div className="flex flex-col gap-4 p-4 md:px-6">
        <Users accounts={data} />
        <Tokens accounts={data} />
      </div>
    </Page>
  );
}
