import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useRouter } from "@tanstack/react-router";
import { useState } from "react";
import { login } from "../api/actions";
import { useTitle } from "../components/Page";
import { Door } from "../features/shell/Door";
import { ApiError } from "../lib/errors";
import { Button } from "../ui/Button";
import { Field, Input } from "../ui/Field";

export const Route = createFileRoute("/login")({
  validateSearch: (search: Record<string, unknown>): { next?: string } =>
    // Only paths of this site: a link must not lead elsewhere after the door.
    typeof search.next === "string" && /^\/(?![/\\])/.test(search.next)
      ? { next: search.next }
      : {},
  component: Login,
});

function Login() {
  useTitle("Sign in");
  const { next } = Route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const enter = useMutation({
    mutationFn: () => login(name, password),
    onSuccess: () => {
      client.clear();
      router.history.push(next ?? "/");
    },
  });
  return (
    <Door title="Sign in to Updraft" onSubmit={() => enter.mutate()}>
      <Field label="Name">
        {(ids) => (
          <Input
            {...ids}
            name="name"
            autoComplete="username"
            autoCapitalize="none"
            required
            value={name}
            onChange={(event) => setName(event.target.value)}
            className="h-11"
          />
        )}
      </Field>
      <Field label="Password">
        {(ids) => (
          <Input
            {...ids}
            name="password"
            type="password"
            autoComplete="current-password"
            required
            value={password}
            onChange={(event) => setPassword(event.target.value)}
            className="h-11"
          />
        )}
      </Field>
      <p role="alert" className="min-h-5 text-bad empty:invisible">
        {enter.error ? refusal(enter.error) : ""}
      </p>
      <Button kind="primary" type="submit" busy={enter.isPending} className="h-11">
        Sign in
      </Button>
      <p className="text-ink-3 text-xs">
        Started with <code className="font-mono">updraft dev</code>? Open the login link that it
        printed.
      </p>
    </Door>
  );
}

function refusal(error: Error): string {
  if (!(error instanceof ApiError)) return error.message;
  if (error.status === 401) return "No user has this name and password.";
  if (error.status === 429) return "Too many attempts. Wait a minute, then try again.";
  return error.message;
}
