/** The facts of a workflow for what lies above a page: its own page brings them along, another page asks for them. */

import { useIsFetching, useQuery } from "@tanstack/react-query";
import { workflowQuery } from "./queries";

export function useFacts(workflow: string) {
  const { queryKey } = workflowQuery(workflow);
  const coming = useIsFetching({
    queryKey: ["workflow", workflow],
    predicate: (query) => query.queryKey[2] !== queryKey[2],
  });
  return useQuery({ ...workflowQuery(workflow), enabled: coming === 0 });
}
