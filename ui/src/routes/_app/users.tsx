import { createFileRoute } from "@tanstack/react-router";
import { tokensQuery, usersQuery } from "../../api/queries";
import { Page } from "../../components/Page";
import { Tokens } from "../../features/users/Tokens";
import { Users } from "../../features/users/Users";

export const Route = createFileRoute("/_app/users")({
  loader: ({ context }) => {
    void context.queryClient.prefetchQuery(usersQuery);
    void context.queryClient.prefetchQuery(tokensQuery);
  },
  component: UsersPage,
});

function UsersPage() {
  return (
    <Page title="Users and tokens">
      <div className="flex flex-col gap-4 p-4 md:px-6">
        <Users />
        <Tokens />
      </div>
    </Page>
  );
}
