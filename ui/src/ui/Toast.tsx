import { useSyncExternalStore } from "react";
import { IconButton } from "./Button";
import { Icon } from "./Icon";
import { dismiss, listen, said } from "./notes";

export function Toasts() {
  const shown = useSyncExternalStore(listen, said);
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
