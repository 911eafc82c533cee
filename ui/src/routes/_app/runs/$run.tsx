import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../../components/Page";

export const Route = createFileRoute("/_app/runs/$run")({ component: Run });

function Run() {
  return <Page title="Run">{null}</Page>;
}
