/** The pages that the rail, the palette and the keys know: one list. */

import type { Role } from "../../api/types";
import type { IconName } from "../../ui/Icon";

export interface Place {
  readonly to: "/" | "/workflows" | "/runs" | "/connections" | "/audit" | "/users" | "/status";
  readonly word: string;
  readonly icon: IconName;
  /** Pressed after `g`. */
  readonly key: string;
  /** Who may see it; everybody if left out. */
  readonly needs?: Role;
}

export const PLACES: readonly Place[] = [
  { to: "/", word: "Home", icon: "home", key: "h" },
  { to: "/workflows", word: "Workflows", icon: "workflow", key: "w" },
  { to: "/runs", word: "Runs", icon: "runs", key: "r" },
  { to: "/connections", word: "Connections", icon: "plug", key: "c" },
  { to: "/audit", word: "Audit", icon: "audit", key: "a", needs: "admin" },
  { to: "/users", word: "Users", icon: "users", key: "u" },
  { to: "/status", word: "Status", icon: "pulse", key: "s" },
];
