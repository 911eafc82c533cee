import { useSyncExternalStore } from "react";
import { IconButton } from "./Button";
import { Icon } from "./Icon";

interface Note {
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

function dismiss(id: number): void {
  set(notes.filter((note) => note.id !== id));
}

/** Says what was done. Errors stay until they are closed. */
export function toast(text: string, tone: "ok" | "bad" = "ok"): void {
  const id = nextId++;
  set([...notes.slice(-2), { id, text, tone }]);
  if (tone === "ok") window.setTimeout(() => dismiss(id), SHOWN_MS);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => notes,
  );
  return (
    <div
      aria-live="polite"
      className="pointer-events-none fixed inset-x-4 bottom-20 z-60 flex flex-col items-end gap-2 md:bottom-4"
    >
      {shown.map((note) => (
        <div
          key={note.id}
          className="pointer-events-auto flex max-w-md items-center gap-2 rounded-md bg-ink py-1 pr-1 pl-3 text-inverse shadow-float"
        >
          <Icon name={note.tone === "ok" ? "check" : "warn"} />
          <span className="min-w-0 flex-1 py-1">{note.text}</span>
          <IconButton
            icon="close"
            label="Dismiss"
            onClick={() => dismiss(note.id)}
            className="text-inverse hover:bg-transparent hover:text-inverse"
          />
        </div>
      ))}
    </div>
  );
}
