import { Link } from "@tanstack/react-router";
import { ErrorState, useTitle } from "../../components/Page";
import { ApiError } from "../../lib/errors";
import { buttonClass } from "../../ui/Button";
import { Empty } from "../../ui/Feedback";

/** 404: an address that no page has. */
export function NotFound() {
  useTitle("Not found");
  return (
    <main className="pt-16">
      <h1 className="sr-only">Not found</h1>
      <Empty
        title="There is nothing at this address"
        action={
          <Link to="/" className={buttonClass("primary")}>
            Go home
          </Link>
        }
      >
        The workflow or run may have another name, or the link is incomplete.
      </Empty>
    </main>
  );
}

/** 403: signed in, but not allowed. */
export function Forbidden({ error }: { error: ApiError }) {
  useTitle("Not allowed");
  return (
    <div className="pt-16">
      <h1 className="sr-only">{error.problem.title}</h1>
      <Empty
        title="Your role does not allow this"
        action={
          <Link to="/" className={buttonClass("primary")}>
            Go home
          </Link>
        }
      >
        {error.problem.detail}
      </Empty>
    </div>
  );
}

/** What a query answered when it failed: 404 and 403 are pages of their own, the rest is a note. */
export function QueryError({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  if (error instanceof ApiError && error.status === 404) return <NotFoundHere error={error} />;
  if (error instanceof ApiError && error.status === 403) return <Forbidden error={error} />;
  return <ErrorState error={error} onRetry={onRetry} />;
}

function NotFoundHere({ error }: { error: ApiError }) {
  useTitle("Not found");
  return (
    <div className="pt-16">
      <h1 className="sr-only">{error.problem.title}</h1>
      <Empty
        title={error.problem.title || "Not found"}
        action={
          <Link to="/workflows" className={buttonClass("primary")}>
            All workflows
          </Link>
        }
      >
        {error.problem.detail}
      </Empty>
    </div>
  );
}

/** A fault of the page itself. */
export function PageError({ error, reset }: { error: unknown; reset: () => void }) {
  return <ErrorState error={error} onRetry={reset} />;
}
