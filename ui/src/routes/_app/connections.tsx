import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../components/Page";

export const Route = createFileRoute("/_app/connections")({ component: Connections });

function Connections() {
  return <Page title="Connections">{null}</Page>;
}
