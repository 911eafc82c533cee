/** Keys that hold on every page. A key in a field, or with a sheet open, is text and not a command. */

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { PLACES } from "./nav";

/** `g` waits this long for its second key. */
const CHORD_MS = 1_200;

export function isTyping(target: EventTarget | null): boolean {
  const element = target instanceof HTMLElement ? target : null;
  if (!element) return false;
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}

interface Actions {
  palette: () => void;
  help: () => void;
}

export function useKeys({ palette, help }: Actions): void {
  const navigate = useNavigate();
  const chord = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        palette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector('[role="dialog"]')) return;
      if (Date.now() - chord.current < CHORD_MS) {
        chord.current = 0;
        const place = PLACES.find((each) => each.key === event.key);
        if (place) {
          event.preventDefault();
          void navigate({ to: place.to });
        }
        return;
      }
      if (event.key === "g") chord.current = Date.now();
      else if (event.key === "?") help();
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("[data-search]");
        event.preventDefault();
        if (field) field.focus();
        else palette();
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, palette, help]);
}
