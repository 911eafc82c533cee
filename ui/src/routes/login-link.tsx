import { createFileRoute } from "@tanstack/react-router";
import { useEffect } from "react";
import { url } from "../api/client";
import { Door } from "../features/shell/Door";

export const Route = createFileRoute("/login-link")({
  validateSearch: (search: Record<string, unknown>): { token?: string } =>
    typeof search.token === "string" ? { token: search.token } : {},
  component: LoginLink,
});

/** The server answers this address itself; the page only stands in where a proxy serves the files. */
function LoginLink() {
  const { token } = Route.useSearch();
  useEffect(() => {
    if (token) window.location.replace(url("/auth/link", { token }));
  }, [token]);
  return (
    <Door
      title={token ? "Opening the door" : "This link is incomplete"}
      about={token ? "One moment." : "Copy the whole address that Updraft printed."}
    >
      {null}
    </Door>
  );
}
