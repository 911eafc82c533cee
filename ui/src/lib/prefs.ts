/** What a person chose for this browser: theme and zone. Stored locally, told to every listener. */

import { useSyncExternalStore } from "react";
import { isZone } from "./time";

export type Theme = "system" | "light" | "dark";

const listeners = new Set<() => void>();
const PREFIX = "updraft.";

function read(key: string): string | null {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

function write(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
  } catch {
    // A browser that stores nothing keeps the choice for this page only.
  }
}

let theme: Theme = (() => {
  const stored = read("theme");
  return stored === "light" || stored === "dark" ? stored : "system";
})();

export const systemZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

let zone: string = (() => {
  const stored = read("zone");
  return stored && isZone(stored) ? stored : systemZone;
})();

function changed(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function setTheme(next: Theme): void {
  theme = next;
  write("theme", next === "system" ? null : next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  changed();
}

export function setZone(next: string): void {
  if (!isZone(next)) return;
  zone = next;
  write("zone", next === systemZone ? null : next);
  changed();
}

/** The zone, for what is no component. */
export const currentZone = (): string => zone;

export const useTheme = (): Theme => useSyncExternalStore(subscribe, () => theme);
export const useZone = (): string => useSyncExternalStore(subscribe, () => zone);

const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** The theme on the screen now; canvases redraw when it changes. */
export function useShownTheme(): "light" | "dark" {
  return useSyncExternalStore(
    (listener) => {
      dark.addEventListener("change", listener);
      const stop = subscribe(listener);
      return () => {
        dark.removeEventListener("change", listener);
        stop();
      };
    },
    () => (theme === "system" ? (dark.matches ? "dark" : "light") : theme),
  );
}
