// One call of the API a page, beside the one event stream: however one comes to the page.

import assert from "node:assert/strict";
import { ready, window } from "./lib.mjs";
import { pagesOf } from "./looks.mjs";

/** A sheet asks for its preview too; one that lies over another page's thing, for that thing. */
const SHEETS = new Set(["retry", "mark", "cancel", "trigger", "pause"]);
/** Time in which a page that asks twice has done so. */
const SETTLE_MS = 700;

/** What a window asks the API from now on. */
function listen(page) {
  const seen = [];
  page.on("request", (request) => {
    const { pathname, search } = new URL(request.url());
    if (!pathname.startsWith("/api/v1/")) return;
    seen.push(`${request.method()} ${pathname.slice("/api/v1".length)}${search}`);
  });
  return seen;
}

const isStream = (call) => /^GET \/events$/.test(call);

export async function calls(world, { step }) {
  await step("one call a page: opened by its address", async () => {
    const w = await window(world);
    const seen = listen(w.page);
    const most = new Map();
    for (const [name, path] of Object.entries(await pagesOf(world))) {
      const allowed = SHEETS.has(name) ? 2 : 1;
      let asked = [];
      // A run that moves on just then makes the page read again, as it should: that is no second call of the page's own.
      for (const _ of [1, 2]) {
        seen.length = 0;
        await w.goto(path);
        await w.page.waitForTimeout(SETTLE_MS);
        asked = seen.filter((call) => !isStream(call));
        if (asked.length <= allowed) break;
      }
      assert.ok(asked.length <= allowed, `${name} asks ${asked.length} times: ${asked.join(", ")}`);
      assert.ok(seen.length - asked.length <= 1, `${name} opens several event streams`);
      most.set(asked.length, (most.get(asked.length) ?? 0) + 1);
    }
    await w.close();
    return [...most].map(([n, pages]) => `${n} on ${pages} pages`).join(", ");
  });

  await step("one call a page: reached by a click", async () => {
    const w = await window(world);
    const seen = listen(w.page);
    const failed = (await w.json("/runs?state=failed&limit=1")).items[0];
    await w.goto("/");
    const walked = [];
    const walk = async (name, act) => {
      await w.page.waitForTimeout(SETTLE_MS);
      seen.length = 0;
      await act();
      await ready(w.page);
      await w.page.waitForTimeout(SETTLE_MS);
      // The same call again is a run that moved on just then; a second one of another kind is not.
      const asked = [...new Set(seen.filter((call) => !isStream(call)))];
      assert.equal(seen.filter(isStream).length, 0, `${name} opens another event stream`);
      assert.ok(asked.length <= 1, `${name} asks ${asked.length} times: ${asked.join(", ")}`);
      walked.push(name);
    };
    const tab = (view, name) => () =>
      w.page
        .getByRole("navigation", { name: view })
        .getByRole("link", { name, exact: false })
        .click();
    for (const name of ["Workflows", "Runs", "Connections", "Audit", "Users", "Status", "Home"])
      await walk(name, () =>
        w.page
          .getByRole("navigation", { name: "Main" })
          .first()
          .getByRole("link", { name, exact: true })
          .click(),
      );
    // Addresses of things without an own link in the rail are opened, then walked through.
    seen.length = 0;
    await w.goto(`/workflows/${failed.workflow}`);
    for (const name of ["Graph", "Runs", "Durations", "Calendar", "Schedule", "Code", "Grid"])
      await walk(`workflow, ${name}`, tab("Views of the workflow", name));
    await w.goto(`/runs/${failed.id}`);
    for (const name of ["Graph", "Tasks", "Events", "Params", "Timeline"])
      await walk(`run, ${name}`, tab("Views of the run", name));
    await w.goto(`/runs/${failed.id}/tasks/${failed.failure.task}`);
    for (const name of ["Params", "Output", "Items", "History", "Log"])
      await walk(`task run, ${name}`, tab("Views of the task run", name));
    await w.close();
    return `${walked.length} pages and views`;
  });
}
