import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../components/Page";

export const Route = createFileRoute("/_app/users")({ component: Users });

function Users() {
  return <Page title="Users">{null}</Page>;
}
