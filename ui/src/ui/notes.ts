/** What the page says for a moment, wherever it was said. */

export interface Note {
  id: number;
  text: string;
  tone: "ok" | "bad";
}

const SHOWN_MS = 6_000;
let notes: readonly Note[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function set(next: readonly Note[]): void {
  notes = next;
  for (const listener of listeners) listener();
}

export function dismiss(id: number): void {
  set(notes.filter((note) => note.id !== id));
}

/** Says what was done. Errors stay until they are closed. */
export function toast(text: string, tone: "ok" | "bad" = "ok"): void {
  const id = nextId++;
  set([...notes.slice(-2), { id, text, tone }]);
  if (tone === "ok") window.setTimeout(() => dismiss(id), SHOWN_MS);
}

/** Hears of each change; what is said now is `said()`. */
export function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const said = (): readonly Note[] => notes;
