import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../components/Page";

export const Route = createFileRoute("/_app/status")({ component: Status });

function Status() {
  return <Page title="Status">{null}</Page>;
}
