import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../../components/Page";

export const Route = createFileRoute("/_app/workflows/")({ component: Workflows });

function Workflows() {
  return <Page title="Workflows">{null}</Page>;
}
