/** Why a read failed that somebody else makes: the page shows the whole of it, its parts the pieces. */

import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useCallback, useSyncExternalStore } from "react";

export function useErrorOf(queryKey: QueryKey): Error | null {
  const cache = useQueryClient().getQueryCache();
  return useSyncExternalStore(
    useCallback((changed) => cache.subscribe(changed), [cache]),
    () => cache.find({ queryKey, exact: true })?.state.error ?? null,
  );
}
