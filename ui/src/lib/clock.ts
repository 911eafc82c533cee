/** The server's clock, as far as its answers tell it: a phone with a wrong clock must not say "in 3 h" for "now". */

import { useSyncExternalStore } from "react";

/** Below this the difference is latency and rounding, not a wrong clock. */
const NOTICEABLE_MS = 2_000;

let skewMs = 0;

/** Takes the `Date` header of an answer. */
export function setServerTime(header: string | null): void {
  if (!header) return;
  const server = Date.parse(header);
  if (Number.isNaN(server)) return;
  const skew = server - Date.now();
  skewMs = Math.abs(skew) > NOTICEABLE_MS ? skew : 0;
}

/** Now, by the server's clock, in ms. */
export function now(): number {
  return Date.now() + skewMs;
}

const tickers = new Map<number, { listeners: Set<() => void>; timer: number }>();
/** The last tick of each rhythm. It outlives its listeners: a snapshot must not change by being looked at. */
const ticks = new Map<number, number>();

function tickOf(every: number): number {
  const known = ticks.get(every);
  if (known !== undefined) return known;
  ticks.set(every, 0);
  return 0;
}

function subscribe(every: number, listener: () => void): () => void {
  let ticker = tickers.get(every);
  if (!ticker) {
    const made = { listeners: new Set<() => void>(), timer: 0 };
    made.timer = window.setInterval(() => {
      ticks.set(every, now());
      for (const each of made.listeners) each();
    }, every);
    tickers.set(every, made);
    ticker = made;
  }
  ticker.listeners.add(listener);
  return () => {
    ticker.listeners.delete(listener);
    if (ticker.listeners.size === 0) {
      window.clearInterval(ticker.timer);
      tickers.delete(every);
    }
  };
}

let heldMs: number | undefined;

/** Stops what counts on the page at an instant, while nobody can know how it goes on; `undefined` lets it go. */
export function holdClock(at: number | undefined): void {
  heldMs = at;
}

/** Now, renewed every `every` ms by one timer for the whole page. */
export function useNow(every = 15_000): number {
  useSyncExternalStore(
    (listener) => subscribe(every, listener),
    () => tickOf(every),
  );
  return heldMs ?? now();
}
