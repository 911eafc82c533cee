import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { setup } from "../api/actions";
import { ErrorState, useTitle } from "../components/Page";
import { Door } from "../features/shell/Door";
import { Button, buttonClass } from "../ui/Button";
import { Field, Input } from "../ui/Field";

export const Route = createFileRoute("/setup")({
  validateSearch: (search: Record<string, unknown>): { token?: string } =>
    typeof search.token === "string" ? { token: search.token } : {},
  component: Setup,
});

const MIN_PASSWORD = 12;

function Setup() {
  useTitle("First administrator");
  const { token } = Route.useSearch();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [name, setName] = useState("admin");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const enter = useMutation({
    mutationFn: () => setup(token ?? "", name, password),
    onSuccess: () => {
      client.clear();
      void navigate({ to: "/" });
    },
  });
  if (!token) {
    return (
      <Door
        title="This link is incomplete"
        about="Open the whole address that updraft serve printed."
      >
        <Link to="/login" className={buttonClass()}>
          Sign in instead
        </Link>
      </Door>
    );
  }
  const short = password.length < MIN_PASSWORD;
  const differs = password !== again;
  const submit = () => {
    setTried(true);
    if (!short && !differs) enter.mutate();
  };
  return (
    <Door
      title="Make the first administrator"
      about="This link works once, within an hour of its printing."
      onSubmit={submit}
    >
      <Field label="Name">
        {(ids) => (
          <Input
            {...ids}
            autoComplete="username"
            autoCapitalize="none"
            required
            value={name}
            onChange={(event) => setName(event.target.value)}
            className="h-11"
          />
        )}
      </Field>
      <Field
        label="Password"
        help={`At least ${MIN_PASSWORD} characters. A sentence is easiest to remember.`}
        error={tried && short ? `${password.length} of ${MIN_PASSWORD} characters.` : undefined}
      >
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            required
            value={password}
            onChange={(event) => setPassword(event.target.value)}
            className="h-11"
          />
        )}
      </Field>
      <Field label="Password again" error={tried && differs ? "The two differ." : undefined}>
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            required
            value={again}
            onChange={(event) => setAgain(event.target.value)}
            className="h-11"
          />
        )}
      </Field>
      {enter.error && <ErrorState error={enter.error} />}
      <Button kind="primary" type="submit" busy={enter.isPending} className="h-11">
        Make administrator and sign in
      </Button>
    </Door>
  );
}
