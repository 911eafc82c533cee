/** Reads pieces of a log; no more is ever held than was asked for. */

import { seg, send, url } from "../../api/client";
import type { LogLine } from "../../api/types";

export interface LogRef {
  run: string;
  task: string;
  mapIndex?: number | undefined;
  attempt: number;
}

export type Level = LogLine["level"];

/** One of `offset`, `tail`, `around` says where. With `level` or `search`, `limit` counts the bytes looked through. */
export interface LogQuery {
  offset?: number;
  limit?: number;
  tail?: number;
  around?: number;
  level?: Level | undefined;
  search?: string | undefined;
}

export interface LogInfo {
  bytes: number;
  lines?: number;
  firstError?: { line: number; offset: number };
  complete: boolean;
  truncated: boolean;
}

export interface LogSlice {
  items: LogLine[];
  /** Byte to go on from; left out at the end of what there is. */
  next?: number;
  info: LogInfo;
}

const pathOf = (log: LogRef) =>
  `/runs/${seg(log.run)}/tasks/${seg(log.task)}/attempts/${log.attempt}/log`;

function numberOf(headers: Headers, name: string): number | undefined {
  const text = headers.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function infoOf(headers: Headers): LogInfo {
  const lines = numberOf(headers, "x-log-lines");
  const line = numberOf(headers, "x-log-first-error-line");
  const offset = numberOf(headers, "x-log-first-error-offset");
  return {
    bytes: numberOf(headers, "x-log-bytes") ?? 0,
    complete: headers.get("x-log-complete") !== "false",
    truncated: headers.get("x-log-truncated") === "true",
    ...(lines === undefined ? {} : { lines }),
    ...(line === undefined || offset === undefined ? {} : { firstError: { line, offset } }),
  };
}

export async function readLog(
  log: LogRef,
  query: LogQuery,
  signal?: AbortSignal,
): Promise<LogSlice> {
  const response = await send("GET", pathOf(log), {
    query: { map_index: log.mapIndex, ...query },
    headers: { accept: "application/x-ndjson" },
    ...(signal ? { signal } : {}),
  });
  const text = await response.text();
  const items = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine);
  const next = numberOf(response.headers, "x-log-next");
  return { items, info: infoOf(response.headers), ...(next === undefined ? {} : { next }) };
}

/** Bytes of one part of a download. */
const PART_BYTES = 8 * 1024 * 1024;

/** The whole log as text, part by part. */
export async function wholeLog(log: LogRef, told: (share: number) => void): Promise<Blob> {
  const parts: Blob[] = [];
  for (let offset = 0; ; ) {
    const response = await send("GET", pathOf(log), {
      query: { map_index: log.mapIndex, offset, limit: PART_BYTES },
      headers: { accept: "text/plain" },
    });
    parts.push(await response.blob());
    const next = numberOf(response.headers, "x-log-next");
    const { bytes } = infoOf(response.headers);
    if (next === undefined || next <= offset || next >= bytes) break;
    offset = next;
    told(offset / bytes);
  }
  return new Blob(parts, { type: "text/plain" });
}

/** The stream of what is still being written; the browser resumes it by the byte it had. */
export const streamUrl = (log: LogRef, offset: number) =>
  url(pathOf(log), { map_index: log.mapIndex, offset });
