/** The one door to the API: JSON in and out, RFC 9457 problems as errors, a missing session as an event. */

import { setServerTime } from "../lib/clock";
import { ApiError } from "../lib/errors";
import type { Problem } from "./types";

export { ApiError };

export const BASE = "/api/v1";

export type Query = Record<
  string,
  string | number | boolean | readonly string[] | undefined | null
>;

interface Options {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

let onUnauthorized: () => void = () => {};

/** Says what happens when a session has ended; the shell goes to the login page. */
export function whenUnauthorized(action: () => void): void {
  onUnauthorized = action;
}

/** `path` with its query; empty values are left out, lists are joined by commas. */
export function url(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    const text = Array.isArray(value) ? value.join(",") : String(value);
    if (text !== "") search.set(key, text);
  }
  const text = search.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

function unreachable(path: string, cause: unknown): ApiError {
  return new ApiError({
    type: "about:blank",
    title: "No answer",
    status: 0,
    detail: `The daemon did not answer ${path}.`,
    code: "unreachable",
    hint: cause instanceof Error ? cause.message : null,
    request_id: "",
  });
}

async function problemOf(response: Response): Promise<Problem> {
  const fallback: Problem = {
    type: "about:blank",
    title: response.statusText || "Refused",
    status: response.status,
    detail: `The daemon answered ${response.status}.`,
    code: `http_${response.status}`,
    request_id: response.headers.get("x-request-id") ?? "",
  };
  try {
    return { ...fallback, ...((await response.json()) as Partial<Problem>) };
  } catch {
    return fallback;
  }
}

declare global {
  interface Window {
    /** The first read of the page, begun by `boot.js` before this code had come. */
    updraftEarly?: { url: string; answer: Promise<Response> };
  }
}

/** The answer that is already under way, once. */
function early(address: string): Promise<Response> | undefined {
  const found = window.updraftEarly;
  if (found?.url !== address) return undefined;
  delete window.updraftEarly;
  return found.answer;
}

/** Asks, and returns the response once it is a success; throws `ApiError` otherwise. */
export async function send(method: Method, path: string, options: Options = {}): Promise<Response> {
  const { query, body, headers, signal } = options;
  const init: RequestInit = {
    method,
    credentials: "same-origin",
    headers: {
      accept: "application/json",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  };
  let response: Response;
  try {
    const address = url(path, query);
    response = await ((method === "GET" && !headers && early(address)) || fetch(address, init));
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw unreachable(path, cause);
  }
  setServerTime(response.headers.get("date"));
  if (response.ok) return response;
  if (response.status === 401 && !path.startsWith("/auth/")) onUnauthorized();
  throw new ApiError(await problemOf(response));
}

async function json<T>(method: Method, path: string, options?: Options): Promise<T> {
  const response = await send(method, path, options);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

export const api = {
  get: <T>(path: string, query?: Query, signal?: AbortSignal) =>
    json<T>("GET", path, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) }),
  post: <T>(path: string, body: unknown = {}, query?: Query, headers?: Record<string, string>) =>
    json<T>("POST", path, { body, ...(query ? { query } : {}), ...(headers ? { headers } : {}) }),
  put: <T>(path: string, body: unknown) => json<T>("PUT", path, { body }),
  patch: <T>(path: string, body: unknown) => json<T>("PATCH", path, { body }),
  delete: <T>(path: string, query?: Query) =>
    json<T>("DELETE", path, query ? { query } : undefined),
};

/** A path segment: ids are free text. */
export const seg = encodeURIComponent;
