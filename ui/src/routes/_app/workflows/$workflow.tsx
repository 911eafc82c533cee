import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../../components/Page";

export const Route = createFileRoute("/_app/workflows/$workflow")({ component: Workflow });

function Workflow() {
  return <Page title="Workflow">{null}</Page>;
}
