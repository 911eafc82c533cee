import type { Problem } from "../api/types";

/** What the server said when it refused, or what the browser said when it could not ask. */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.name = "ApiError";
    this.problem = problem;
  }

  /** No answer at all: the network or the daemon is away. */
  get offline(): boolean {
    return this.problem.status === 0;
  }

  get status(): number {
    return this.problem.status;
  }
}
