import { lazy, Suspense } from "react";
import { useSheet } from "./sheet";

const BY_KIND = {
  trigger: lazy(() => import("./Trigger")),
  retry: lazy(() => import("./Retry")),
  mark: lazy(() => import("./Mark")),
  cancel: lazy(() => import("./Cancel")),
  pause: lazy(() => import("./Pause")),
} as const;

/** The action sheet that the URL asks for; rendered once, by the shell. */
export default function Sheets() {
  const { sheet, of, pick } = useSheet();
  if (!sheet || !of) return null;
  const Chosen = BY_KIND[sheet];
  return (
    <Suspense>
      <Chosen key={`${sheet} ${of} ${pick.join(",")}`} />
    </Suspense>
  );
}
