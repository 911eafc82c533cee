/**
 * The one event stream of a tab. Hints name what changed; what is on the screen is read again, what is not
 * becomes stale. Nothing is polled: a quiet daemon means a quiet page.
 */

import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { holdClock, now } from "../lib/clock";
import { BASE } from "./client";
import { meQuery } from "./queries";
import type { Me } from "./types";

export type StreamState = "connecting" | "open" | "lost";

interface Stream {
  state: StreamState;
  /** When the stream was last known to be open, by the server's clock. */
  since: number;
}

/** Many hints in a burst make one read: a run of 200 tasks commits hundreds of times a minute. */
const COALESCE_MS = 700;
const FRESH_MS = 2_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000] as const;

let stream: Stream = { state: "connecting", since: now() };
const listeners = new Set<() => void>();

function setStream(state: StreamState): void {
  if (stream.state === state) return;
  stream = { state, since: now() };
  // "running 5 m 12 s" is a fact only while somebody says so.
  holdClock(state === "lost" ? stream.since : undefined);
  for (const listener of listeners) listener();
}

/** State of the stream, for the offline banner. */
export function useStream(): Stream {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => stream,
  );
}

export interface RunHint {
  run: string;
  version: number;
  workflow: string;
  state: string;
}

/** Which queries a hint makes stale. */
export function keysOfRun(hint: RunHint): QueryKey[] {
  return [["home"], ["runs"], ["workflows"], ["workflow", hint.workflow], ["run", hint.run]];
}

export function keysOfCatalog(workflow?: string): QueryKey[] {
  const lists: QueryKey[] = [["home"], ["workflows"], ["status"]];
  return workflow ? [...lists, ["workflow", workflow]] : [...lists, ["workflow"]];
}

/** What `reset` makes stale: everything but what never changes while the session lasts. */
const LASTING = new Set(["me", "audit-verify"]);

function parse<T>(event: Event): T | undefined {
  try {
    return JSON.parse((event as MessageEvent<string>).data) as T;
  } catch {
    return undefined;
  }
}

/** Opens the stream; returns the function that closes it. */
export function openEvents(client: QueryClient): () => void {
  let source: EventSource | undefined;
  let retry = 0;
  let reopen = 0;
  let flushTimer = 0;
  let closed = false;
  let first = true;
  const stale = new Map<string, QueryKey>();

  const flush = () => {
    flushTimer = 0;
    const keys = [...stale.values()];
    stale.clear();
    for (const key of keys) {
      // A read under way may have begun before the change: ask again after it.
      const busy = client.isFetching({ queryKey: key }) > 0;
      if (busy) stale.set(JSON.stringify(key), key);
      else void client.invalidateQueries({ queryKey: key }, { cancelRefetch: false });
    }
    if (stale.size > 0) schedule();
  };
  const schedule = () => {
    if (!flushTimer) flushTimer = window.setTimeout(flush, COALESCE_MS);
  };
  const mark = (keys: QueryKey[]) => {
    for (const key of keys) stale.set(JSON.stringify(key), key);
    schedule();
  };

  const reset = (event: Event) => {
    const me = parse<Partial<Me>>(event);
    if (me?.name) client.setQueryData(meQuery.queryKey, me as Me);
    // The first reset comes beside the page's own first reads; what is younger than this has missed nothing.
    const before = first ? Date.now() - FRESH_MS : Number.POSITIVE_INFINITY;
    first = false;
    const predicate = (query: Query) =>
      !LASTING.has(String(query.queryKey[0])) && query.state.dataUpdatedAt < before;
    void client.invalidateQueries({ predicate }, { cancelRefetch: false });
  };

  const open = () => {
    source = new EventSource(`${BASE}/events`);
    source.addEventListener("open", () => {
      retry = 0;
      setStream("open");
    });
    source.addEventListener("reset", reset);
    source.addEventListener("run", (event) => {
      const hint = parse<RunHint>(event);
      if (hint) mark(keysOfRun(hint));
    });
    source.addEventListener("catalog", (event) => {
      mark(keysOfCatalog(parse<{ workflow?: string }>(event)?.workflow));
    });
    source.addEventListener("error", () => {
      setStream("lost");
      if (closed || source?.readyState !== EventSource.CLOSED) return;
      // Refused, or no daemon: whoever may not listen is told who they are all the same.
      if (!client.getQueryData(meQuery.queryKey)) void client.prefetchQuery(meQuery);
      const wait = RETRY_MS[Math.min(retry, RETRY_MS.length - 1)];
      retry += 1;
      reopen = window.setTimeout(open, wait);
    });
  };
  open();

  return () => {
    closed = true;
    window.clearTimeout(reopen);
    window.clearTimeout(flushTimer);
    source?.close();
  };
}
