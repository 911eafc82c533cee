import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { openEvents, useStream } from "../../api/events";
import { meQuery } from "../../api/queries";
import { useZone } from "../../lib/prefs";
import { clockSeconds } from "../../lib/time";
import { cx } from "../../ui/cx";
import { Banner } from "../../ui/Feedback";
import { Icon, type IconName } from "../../ui/Icon";
import { toast } from "../../ui/notes";
import { Toasts } from "../../ui/Toast";
import { useSheet } from "../run-actions/sheet";
import { useKeys } from "./keys";
import { useMay } from "./may";
import { PLACES, type Place } from "./nav";

const Palette = lazy(() => import("./Palette"));
const Help = lazy(() => import("./Help"));
const More = lazy(() => import("./More"));
const Sheets = lazy(() => import("../run-actions/Sheets"));

type Overlay = "palette" | "help" | "more" | undefined;

/** Rail (or bottom bar), banner, content; the overlays are chunks that come when they are wanted. */
export function Shell() {
  const [overlay, setOverlay] = useState<Overlay>();
  const close = useCallback(() => setOverlay(undefined), []);
  const palette = useCallback(() => setOverlay("palette"), []);
  const help = useCallback(() => setOverlay("help"), []);
  const more = useCallback(() => setOverlay("more"), []);
  const { sheet } = useSheet();
  const client = useQueryClient();
  const { data: me } = useQuery(meQuery);
  useKeys({ palette, help });
  useEffect(() => openEvents(client), [client]);
  // Who must choose a password first is refused the stream too: that is no lost daemon.
  const away = useAway() && !me?.must_change_password;

  return (
    <div className="min-h-dvh md:pl-20">
      <a
        href="#content"
        className="fixed top-2 left-2 z-60 -translate-y-20 rounded-md bg-ink px-3 py-2 text-inverse focus:translate-y-0"
      >
        Skip to the content
      </a>
      <Rail palette={palette} more={more} />
      <BottomBar palette={palette} more={more} />
      <main
        id="content"
        tabIndex={-1}
        data-stale={away || undefined}
        className="min-w-0 pb-20 focus:outline-none md:pb-0"
      >
        {away && <OfflineBanner />}
        {me?.must_change_password && (
          <Banner
            tone="warn"
            action={
              <button type="button" className="touch font-medium underline" onClick={more}>
                Change password
              </button>
            }
          >
            Your password was set by somebody else. Choose your own.
          </Banner>
        )}
        <Outlet />
      </main>
      <Suspense>
        {overlay === "palette" && <Palette onClose={close} onHelp={help} onMore={more} />}
        {overlay === "help" && <Help onClose={close} />}
        {overlay === "more" && <More onClose={close} />}
        {sheet && <Sheets />}
      </Suspense>
      <Toasts />
    </div>
  );
}

interface BarProps {
  palette: () => void;
  more: () => void;
}

function Rail({ palette, more }: BarProps) {
  return (
    <nav
      aria-label="Main"
      className="fixed inset-y-0 left-0 z-30 hidden w-20 flex-col items-stretch gap-0.5 border-line border-r bg-surface px-1.5 py-2 md:flex"
    >
      <Link to="/" className="mb-1 flex h-10 items-center justify-center" aria-label="Updraft">
        <Mark />
      </Link>
      {PLACES.map((place) => (
        <RailLink key={place.to} place={place} />
      ))}
      <span className="flex-1" />
      <RailButton
        icon="search"
        word="Search"
        onClick={palette}
        title="Search and commands (Ctrl K)"
      />
      <RailButton icon="menu" word="More" onClick={more} title="Zone, theme, account" />
    </nav>
  );
}

const railItem =
  "flex h-12 flex-col items-center justify-center gap-0.5 rounded-md text-2xs no-underline";

function RailLink({ place: { to, icon, word, needs } }: { place: Place }) {
  const { refused } = useMay(needs ?? "viewer");
  if (refused)
    return (
      <button
        type="button"
        aria-disabled
        title={refused}
        onClick={() => toast(refused, "bad")}
        className={cx(railItem, "cursor-not-allowed text-ink-3 opacity-55")}
      >
        <Icon name={icon} />
        {word}
      </button>
    );
  return (
    <Link
      to={to}
      activeOptions={{ exact: to === "/", includeSearch: false }}
      className={railItem}
      activeProps={{ className: "bg-sunken font-semibold text-ink" }}
      inactiveProps={{ className: "text-ink-2 hover:bg-hover hover:text-ink" }}
    >
      <Icon name={icon} />
      {word}
    </Link>
  );
}

function RailButton(props: { icon: IconName; word: string; onClick: () => void; title: string }) {
  return (
    <button
      type="button"
      onClick={props.onClick}
      title={props.title}
      className={cx(railItem, "text-ink-2 hover:bg-hover hover:text-ink")}
    >
      <Icon name={props.icon} />
      {props.word}
    </button>
  );
}

function BottomBar({ palette, more }: BarProps) {
  const item =
    "flex min-h-14 flex-1 flex-col items-center justify-center gap-0.5 text-2xs no-underline";
  return (
    <nav
      aria-label="Main"
      className="fixed inset-x-0 bottom-0 z-30 flex border-line border-t bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
    >
      {PLACES.slice(0, 3).map((place) => (
        <Link
          key={place.to}
          to={place.to}
          activeOptions={{ exact: place.to === "/", includeSearch: false }}
          className={item}
          activeProps={{ className: "font-semibold text-ink" }}
          inactiveProps={{ className: "text-ink-2" }}
        >
          <Icon name={place.icon} className="size-5" />
          {place.word}
        </Link>
      ))}
      <button type="button" onClick={palette} className={cx(item, "text-ink-2")}>
        <Icon name="search" className="size-5" />
        Search
      </button>
      <button type="button" onClick={more} className={cx(item, "text-ink-2")}>
        <Icon name="menu" className="size-5" />
        More
      </button>
    </nav>
  );
}

export function Mark({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={cx("size-7", className)} aria-hidden="true">
      <rect width="32" height="32" rx="7" className="fill-ink" />
      <path
        d="M8 23c5 0 5-6 8-6s3 0 3-4M8 16c4 0 4-5 8-7"
        fill="none"
        className="stroke-ink-3"
        strokeWidth="2.4"
        strokeLinecap="round"
      />
      <path
        d="M14 13l5-6 5 6M19 8v15"
        fill="none"
        className="stroke-inverse"
        strokeWidth="2.8"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** Shown a moment after the stream broke: a restart of the daemon should not flash. */
const GRACE_MS = 2_500;

function useAway(): boolean {
  const lost = useStream().state === "lost";
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!lost) {
      setLate(false);
      return;
    }
    const timer = window.setTimeout(() => setLate(true), GRACE_MS);
    return () => window.clearTimeout(timer);
  }, [lost]);
  return lost && late;
}

function OfflineBanner() {
  const { since } = useStream();
  const zone = useZone();
  return (
    <Banner tone="warn">
      No connection to the daemon since {clockSeconds(since, zone)}. This page shows what was known
      then, without its colours; it connects again by itself.
    </Banner>
  );
}
