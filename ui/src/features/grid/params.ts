/** What the URL says about the grid. Apart from the grid, so that the page reads before its chunk has come. */

import type { RunState, Trigger } from "../../api/types";

export interface GridSearch {
  runs?: number;
  trigger?: Trigger;
  state?: RunState;
  run?: string;
  task?: string;
}

export const DEFAULT_RUNS = 60;

export function gridParams(search: GridSearch) {
  const { runs = DEFAULT_RUNS, trigger, state } = search;
  return { runs, trigger, state };
}
