import { createFileRoute } from "@tanstack/react-router";
import { validateSheet } from "../features/run-actions/sheet";
import { Shell } from "../features/shell/Shell";

export const Route = createFileRoute("/_app")({
  validateSearch: validateSheet,
  component: Shell,
});
