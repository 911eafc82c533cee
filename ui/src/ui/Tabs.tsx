import { type ReactNode, useEffect, useRef } from "react";
import { cx } from "./cx";

/** The bar around tab links: tabs are places with a URL, so each is a link (`tabClass`), not a widget. */
export function TabBar({ label, children }: { label: string; children: ReactNode }) {
  const bar = useRef<HTMLElement>(null);
  // On a phone the bar is wider than the screen: the tab one is on is in view. Sideways only, the page stays.
  useEffect(() => {
    const box = bar.current;
    const tab = box?.querySelector<HTMLElement>('[aria-current="page"]');
    if (box && tab) box.scrollLeft = tab.offsetLeft - (box.clientWidth - tab.clientWidth) / 2;
  });
  return (
    <nav
      ref={bar}
      aria-label={label}
      className="relative flex gap-1 overflow-x-auto border-line border-b [scrollbar-width:none]"
    >
      {children}
    </nav>
  );
}

/** For the router's `Link`: it marks the active one with `aria-current`. */
export function tabClass(active = false): string {
  return cx(
    "touch -mb-px inline-flex h-9 shrink-0 items-center gap-2 border-b-2 px-3 font-medium text-sm no-underline",
    active ? "border-ink text-ink" : "border-transparent text-ink-2 hover:text-ink",
  );
}

interface SegmentProps<T extends string> {
  label: string;
  value: T;
  options: readonly { value: T; text: ReactNode }[];
  onChange: (value: T) => void;
}

/** One of a few, all in view. */
export function Segments<T extends string>({ label, value, options, onChange }: SegmentProps<T>) {
  return (
    <fieldset className="inline-flex w-fit shrink-0 rounded-md border border-control bg-surface p-px">
      <legend className="sr-only">{label}</legend>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
          className={cx(
            "touch h-7 rounded-[5px] px-2 font-medium text-xs",
            option.value === value ? "bg-ink text-inverse" : "text-ink-2 hover:bg-hover",
          )}
        >
          {option.text}
        </button>
      ))}
    </fieldset>
  );
}
