import { createFileRoute } from "@tanstack/react-router";
import { meQuery } from "../api/queries";
import { validateSheet } from "../features/run-actions/sheet";
import { Shell } from "../features/shell/Shell";

export const Route = createFileRoute("/_app")({
  validateSearch: validateSheet,
  loader: ({ context }) => void context.queryClient.prefetchQuery(meQuery),
  component: Shell,
});
