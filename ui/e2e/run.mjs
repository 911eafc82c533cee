// The product in a real browser, from the door to the schedule.
//
//   npm run e2e                              against the mock (needs dist/: npm run build)
//   UPDRAFT_E2E_URL=http://127.0.0.1:8080 UPDRAFT_E2E_LOGIN_URL=... npm run e2e
//                                            against a real daemon that serves e2e/workflows/
//
// UPDRAFT_E2E_OUT      folder of the screenshots
// UPDRAFT_E2E_WORKFLOW workflow that is triggered (mock: airport_report, real: e2e_report)
// UPDRAFT_E2E_POOL     workflow of which two tasks may run at a time (mock: clickhouse_rebuild, real: e2e_pool)
// UPDRAFT_E2E_HUGE     path of a task page with a big log (mock: 1 GiB; real: left out without it)
// UPDRAFT_E2E_PID      file with the daemon's process id, and
// UPDRAFT_E2E_START    the command that starts it again at the same address: it is killed once
// UPDRAFT_E2E_WIDE     workflow of 365 runs × 200 tasks (mock: year_matrix, real: wide_daily)
// UPDRAFT_E2E_JUDGE    1: the figures must hold the budgets
// UPDRAFT_E2E_IDLE     seconds to watch the idle page, 60
// UPDRAFT_E2E_PLANTED  what updraft-history said: its troubles are looked at too
// CHROMIUM             the browser, /usr/bin/chromium
// Words after the command choose the steps whose names hold one of them; signing in is always done.

import { calls } from "./calls.mjs";
import { figures } from "./figures.mjs";
import { open, runner } from "./lib.mjs";
import { looks } from "./looks.mjs";
import { troubles } from "./planted.mjs";
import { idle, qualities } from "./qualities.mjs";
import { signIn, story } from "./story.mjs";
import { viewers } from "./viewer.mjs";

const world = await open();
const run = runner();
try {
  await signIn(world, run);
  await story(world, run);
  await calls(world, run);
  await viewers(world, run);
  await qualities(world, run);
  await troubles(world, run);
  await figures(world, run);
  await Promise.all([idle(world, run), looks(world, run)]);
} finally {
  await world.close();
}
process.exit(run.end() ? 0 : 1);
