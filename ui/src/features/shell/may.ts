/** What the one who is signed in may do. The server decides; this only says it before the click. */

import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../../api/queries";
import type { Role } from "../../api/types";

const ORDER: readonly Role[] = ["viewer", "operator", "editor", "admin"];

export function may(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && ORDER.indexOf(role) >= ORDER.indexOf(needed);
}

/** For a button: why it is refused, or nothing. */
export function useMay(needed: Role): { refused?: string } {
  const { data: me } = useQuery(meQuery);
  if (!me || may(me.role, needed)) return {};
  return { refused: `This needs the role ${needed}; you are ${me.role}.` };
}
