import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../components/Page";

export const Route = createFileRoute("/_app/audit")({ component: Audit });

function Audit() {
  return <Page title="Audit">{null}</Page>;
}
