import { cx } from "../ui/cx";

/** A value as one reads it: text as it is, the rest as indented JSON; it wraps, nothing is cut. */
export function Json({ value, className }: { value: unknown; className?: string }) {
  const text = typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "—");
  return (
    <pre
      className={cx("whitespace-pre-wrap font-mono text-xs [overflow-wrap:anywhere]", className)}
    >
      {text === "" ? <span className="text-ink-3">(empty text)</span> : text}
    </pre>
  );
}
