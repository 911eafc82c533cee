import { createFileRoute } from "@tanstack/react-router";
import { Page } from "../../../components/Page";

export const Route = createFileRoute("/_app/runs/$run_/tasks/$task")({ component: TaskRun });

function TaskRun() {
  return <Page title="TaskRun">{null}</Page>;
}
