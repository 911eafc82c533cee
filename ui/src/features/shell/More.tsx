import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { changePassword, logout } from "../../api/actions";
import { meQuery } from "../../api/queries";
import { ErrorState } from "../../components/Page";
import { useNow } from "../../lib/clock";
import { setTheme, setZone, systemZone, type Theme, useTheme, useZone } from "../../lib/prefs";
import { clock, isZone, offset, zones } from "../../lib/time";
import { Button } from "../../ui/Button";
import { Field, Input } from "../../ui/Field";
import { Icon } from "../../ui/Icon";
import { toast } from "../../ui/notes";
import { Sheet } from "../../ui/Sheet";
import { Segments } from "../../ui/Tabs";
import { PLACES } from "./nav";

const THEMES: readonly { value: Theme; text: string }[] = [
  { value: "system", text: "As the system" },
  { value: "light", text: "Light" },
  { value: "dark", text: "Dark" },
];

/** Zone, theme, account; on a phone also the pages that the bottom bar has no room for. */
export default function More({ onClose }: { onClose: () => void }) {
  const theme = useTheme();
  return (
    <Sheet open onClose={onClose} title="More">
      <nav aria-label="Pages" className="mb-6 grid grid-cols-2 gap-2 md:hidden">
        {PLACES.slice(3).map((place) => (
          <Link
            key={place.to}
            to={place.to}
            onClick={onClose}
            className="touch flex items-center gap-2 rounded-md border border-line px-3 no-underline"
          >
            <Icon name={place.icon} className="text-ink-3" />
            {place.word}
          </Link>
        ))}
      </nav>
      <div className="flex flex-col gap-6">
        <div className="flex flex-col gap-1">
          <span className="font-medium">Theme</span>
          <Segments label="Theme" value={theme} options={THEMES} onChange={setTheme} />
        </div>
        <Zone />
        <Account onClose={onClose} />
      </div>
    </Sheet>
  );
}

function Zone() {
  const zone = useZone();
  const now = useNow();
  const [text, setText] = useState(zone);
  const known = isZone(text);
  return (
    <div className="flex flex-col gap-2">
      <Field
        label="Time zone of all times shown"
        help={`Now ${clock(now, zone)}, ${offset(now, zone)}. Any IANA zone; kept in this browser.`}
        error={known ? undefined : "There is no such zone."}
      >
        {(ids) => (
          <Input
            {...ids}
            list="zones"
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              if (isZone(event.target.value)) setZone(event.target.value);
            }}
          />
        )}
      </Field>
      <datalist id="zones">
        {zones().map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <div className="flex flex-wrap gap-2">
        {[...new Set(["UTC", systemZone])].map((each) => (
          <Button
            key={each}
            small
            onClick={() => {
              setText(each);
              setZone(each);
            }}
          >
            {each === systemZone ? `This machine's: ${each}` : each}
          </Button>
        ))}
      </div>
    </div>
  );
}

function Account({ onClose }: { onClose: () => void }) {
  const { data: me } = useQuery(meQuery);
  const client = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: logout,
    onSuccess: () => {
      onClose();
      client.clear();
      void navigate({ to: "/login" });
    },
  });
  if (!me) return null;
  return (
    <section className="flex flex-col gap-3 border-line border-t pt-4">
      <p>
        Signed in as <b>{me.name}</b>, {me.role}
      </p>
      {me.kind === "user" && <Password />}
      <div>
        <Button icon="out" busy={leave.isPending} onClick={() => leave.mutate()}>
          Sign out
        </Button>
      </div>
      {leave.error && <ErrorState error={leave.error} />}
    </section>
  );
}

function Password() {
  const [open, setOpen] = useState(false);
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useMutation({
    mutationFn: () => changePassword(current, next),
    onSuccess: () => {
      toast("Your password is changed.");
      setOpen(false);
      setCurrent("");
      setNext("");
    },
  });
  if (!open) {
    return (
      <div>
        <Button icon="key" onClick={() => setOpen(true)}>
          Change password
        </Button>
      </div>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-3">
      <Field label="Current password">
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="current-password"
            value={current}
            onChange={(event) => setCurrent(event.target.value)}
            required
          />
        )}
      </Field>
      <Field label="New password" help="At least 12 characters.">
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            minLength={12}
            value={next}
            onChange={(event) => setNext(event.target.value)}
            required
          />
        )}
      </Field>
      {change.error && <ErrorState error={change.error} />}
      <div className="flex gap-2">
        <Button kind="primary" type="submit" busy={change.isPending}>
          Change password
        </Button>
        <Button onClick={() => setOpen(false)}>Keep it</Button>
      </div>
    </form>
  );
}
