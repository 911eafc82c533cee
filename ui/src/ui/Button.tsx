import type { ButtonHTMLAttributes, ReactNode } from "react";
import { cx } from "./cx";
import { Icon, type IconName } from "./Icon";
import { toast } from "./notes";

export type ButtonKind = "primary" | "plain" | "quiet" | "danger";

const KINDS: Record<ButtonKind, string> = {
  primary: "bg-ink text-inverse border-ink hover:opacity-90",
  plain: "bg-surface text-ink border-control hover:bg-hover",
  quiet: "bg-transparent text-ink-2 border-transparent hover:bg-hover hover:text-ink",
  danger: "bg-surface text-bad border-bad hover:bg-bad-soft",
};

/** The look of a button, for links that act like one. */
export function buttonClass(kind: ButtonKind = "plain", small = false): string {
  return cx(
    "touch inline-flex shrink-0 select-none items-center justify-center gap-2 whitespace-nowrap rounded-md border font-medium no-underline disabled:cursor-not-allowed disabled:opacity-55",
    small ? "h-7 px-2 text-xs" : "h-8 px-3 text-sm",
    KINDS[kind],
  );
}

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: ButtonKind;
  small?: boolean;
  icon?: IconName;
  /** Shows that the act is under way, and keeps the width. */
  busy?: boolean;
  /** Why whoever looks may not do this: the button stays in reach, and says so instead of acting. */
  refused?: string | undefined;
  children: ReactNode;
}

/** A button says in words what it does; an icon only goes beside the words. */
export function Button(props: Props) {
  const { kind, small, icon, busy, refused, children, className, ...rest } = props;
  const refusal = refused && {
    type: "button" as const,
    "aria-disabled": true,
    title: refused,
    onClick: () => toast(refused, "bad"),
  };
  return (
    <button
      type="button"
      aria-busy={busy || undefined}
      {...rest}
      {...refusal}
      disabled={!refused && (rest.disabled || busy)}
      className={cx(
        buttonClass(kind, small),
        refused && "cursor-not-allowed opacity-55",
        className,
      )}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  label: string;
}

/** Only for what is universal (close, previous, next); it still has its word for ears and hover. */
export function IconButton({ icon, label, className, ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      {...rest}
      className={cx(
        "touch inline-flex size-8 shrink-0 items-center justify-center rounded-md text-ink-2 hover:bg-hover hover:text-ink disabled:opacity-40",
        className,
      )}
    >
      <Icon name={icon} />
    </button>
  );
}
