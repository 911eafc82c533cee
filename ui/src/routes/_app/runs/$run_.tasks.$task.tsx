import { createFileRoute } from "@tanstack/react-router";
import { taskRunQuery } from "../../../api/queries";
import { taskSearch } from "../../../features/run/links";
import { TaskPage } from "../../../features/task-run/TaskPage";

export const Route = createFileRoute("/_app/runs/$run_/tasks/$task")({
  validateSearch: taskSearch,
  loaderDeps: ({ search: { map_index, attempt, line } }) => ({ map_index, attempt, line }),
  loader: ({ context, params, deps }) =>
    void context.queryClient.prefetchQuery(taskRunQuery(params.run, params.task, deps)),
  component: TaskRun,
});

function TaskRun() {
  const { run, task } = Route.useParams();
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <TaskPage
      key={`${run}/${task}/${search.map_index ?? ""}`}
      run={run}
      task={task}
      search={search}
      onSearch={(next) =>
        void navigate({
          search: (before) => ({ ...before, ...next }),
          replace: true,
          resetScroll: false,
        })
      }
    />
  );
}
