import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Button, type ButtonKind, buttonClass } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Icon, type IconName } from "../../ui/Icon";
import { useMay } from "../shell/may";
import { type SheetKind, withSheet } from "./sheet";

interface Props {
  sheet: SheetKind;
  of: string;
  pick?: readonly string[];
  kind?: ButtonKind;
  small?: boolean;
  icon?: IconName;
  className?: string;
  children: ReactNode;
}

/** Opens an action's sheet over the page; whoever may not act is told why instead. */
export function ActLink({ sheet, of, pick, kind, small, icon, className, children }: Props) {
  const { refused } = useMay("operator");
  const look = {
    ...(kind ? { kind } : {}),
    ...(small ? { small } : {}),
    ...(icon ? { icon } : {}),
  };
  if (refused)
    return (
      <Button {...look} refused={refused} className={className}>
        {children}
      </Button>
    );
  return (
    <Link
      to="."
      search={withSheet(sheet, of, pick) as never}
      className={cx(buttonClass(kind, small), className)}
    >
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}
