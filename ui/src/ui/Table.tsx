import type { ReactNode, TdHTMLAttributes, ThHTMLAttributes } from "react";
import { cx } from "./cx";

const BLEED =
  "md:[&_td:first-child]:pl-6 md:[&_td:last-child]:pr-6 md:[&_th:first-child]:pl-6 md:[&_th:last-child]:pr-6";

/** Tables are plain: a hairline per row, numbers to the right, the head in small ink. They scroll sideways alone. */
export function Table({
  children,
  label,
  bleed,
  className,
}: {
  children: ReactNode;
  label: string;
  /** It spans the page: its first and last cells stand where the page's header does. */
  bleed?: boolean;
  className?: string;
}) {
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take focus
      tabIndex={0}
      className={cx("relative w-full overflow-x-auto", bleed && BLEED, className)}
    >
      <table className="w-full border-collapse text-left text-sm">{children}</table>
    </section>
  );
}

interface Num {
  num?: boolean;
  /** 28 px instead of 32: for long lists that are scanned. */
  dense?: boolean;
}

export function Th({
  num,
  className,
  ...rest
}: ThHTMLAttributes<HTMLTableCellElement> & { num?: boolean }) {
  return (
    <th
      scope="col"
      {...rest}
      className={cx(
        "h-8 whitespace-nowrap border-line border-b px-2 font-medium text-2xs text-ink-3 first:pl-4 last:pr-4",
        num && "text-right",
        className,
      )}
    />
  );
}

export function Td({
  num,
  dense,
  className,
  ...rest
}: TdHTMLAttributes<HTMLTableCellElement> & Num) {
  return (
    <td
      {...rest}
      className={cx(
        "border-line border-b px-2 align-middle first:pl-4 last:pr-4",
        dense ? "h-7 py-0" : "h-8 py-1",
        num && "num text-right",
        className,
      )}
    />
  );
}
