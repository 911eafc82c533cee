import { cx } from "./cx";

/** Line icons in a box of 16, drawn here: no icon font, no library. */
const PATHS = {
  home: "M2.5 7.5L8 2.8l5.5 4.7M4 6.5v6.7h8V6.5M6.7 13v-3.5h2.6V13",
  workflow: "M2 3.2h4v3.6H2zM10 9.2h4v3.6h-4zM6 5h2.5v6H10",
  runs: "M2.5 4h11M2.5 8h7.5M2.5 12h9.5",
  plug: "M5.5 2v3.5M10.5 2v3.5M3.5 5.5h9V8a4.5 4.5 0 0 1-9 0zM8 12.5V15",
  audit: "M4 1.8h8v12.4H4zM6.2 5h3.6M6.2 8h3.6M6.2 11h2",
  users:
    "M6 7.5a2.5 2.5 0 1 0 0-5a2.5 2.5 0 1 0 0 5zM1.8 13.5c.2-2.6 1.8-4 4.2-4s4 1.4 4.2 4M10.5 2.8a2.3 2.3 0 0 1 0 4.5M12 9.8c1.4.5 2.1 1.8 2.2 3.7",
  pulse: "M1.5 8.5h3l1.8-5l3.2 9l1.8-4h3.2",
  search: "M7 11.8a4.8 4.8 0 1 0 0-9.6a4.8 4.8 0 1 0 0 9.6zM10.5 10.5L14 14",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  chevronDown: "M4 6l4 4l4-4",
  chevronRight: "M6 4l4 4l-4 4",
  chevronLeft: "M10 4L6 8l4 4",
  more: "M3.5 8v.1M8 8v.1M12.5 8v.1",
  sun: "M8 11a3 3 0 1 0 0-6a3 3 0 1 0 0 6zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  moon: "M13.5 9.5A5.8 5.8 0 0 1 6.5 2.5a5.8 5.8 0 1 0 7 7z",
  auto: "M8 14a6 6 0 1 0 0-12a6 6 0 1 0 0 12zM8 2v12M8 5l3.5-1M8 8h5.5M8 11l3.5 1",
  clock: "M8 14a6 6 0 1 0 0-12a6 6 0 1 0 0 12zM8 4.5V8l2.4 1.6",
  key: "M5.2 10.8a3 3 0 1 0 0-6a3 3 0 1 0 0 6zM8.2 7.8H14v2.4M11.5 7.8v2",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  play: "M5 3l7.5 5L5 13z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M11.7 1.6v3h-3",
  log: "M3 3.5h10M3 6.5h7M3 9.5h10M3 12.5h5",
  filter: "M2.5 3.5h11L9.5 8.5V13l-3-1.5v-3z",
  out: "M6.5 2.5H3v11h3.5M6.5 8H14M11 5l3 3l-3 3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.2 3.2L13 4.8",
  plus: "M8 3v10M3 8h10",
  warn: "M8 2l6.5 11.5h-13zM8 6.5v3.5M8 11.8v.1",
  help: "M6 6a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.6M8 11.8v.1M8 14.3a6.3 6.3 0 1 0 0-12.6a6.3 6.3 0 1 0 0 12.6z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, className }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 16 16"
      className={cx("size-4 shrink-0", className)}
      fill="none"
      stroke="currentColor"
      strokeWidth={1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
