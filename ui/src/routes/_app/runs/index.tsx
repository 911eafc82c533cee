import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../../components/Page";

export const Route = createFileRoute("/_app/runs/")({ component: Runs });

function Runs() {
  return <Page title="Runs">{null}</Page>;
}
