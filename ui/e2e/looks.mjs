// Every page, both sizes, both themes: a picture, axe, its own errors, its width.

import assert from "node:assert/strict";
import { axe, DESK, PHONE, tooWide, window } from "./lib.mjs";
import { LOST_REGION, planted } from "./planted.mjs";

export async function pagesOf(world) {
  const w = await window(world);
  const story = planted();
  const known = story && (await w.json(`/runs/${story.failed.at(-1)}`));
  const failed = known ?? (await w.json("/runs?state=failed&limit=1")).items[0];
  const waiting = story && { id: story.rebuild[0] };
  const live = waiting ?? (await w.json("/runs?state=running&limit=1")).items[0];
  const workflow = failed?.workflow ?? (await w.json("/workflows?limit=1")).items[0].id;
  await w.close();
  const run = `/runs/${failed?.id}`;
  const task = `${run}/tasks/${failed?.failure?.task}`;
  const own = `/workflows/${workflow}`;
  return {
    home: "/",
    workflows: "/workflows",
    workflow: own,
    "workflow-graph": `${own}?tab=graph`,
    "workflow-runs": `${own}?tab=runs`,
    "workflow-durations": `${own}?tab=durations`,
    "workflow-calendar": `${own}?tab=calendar`,
    "workflow-schedule": `${own}?tab=schedule`,
    "workflow-code": `${own}?tab=code`,
    runs: "/runs",
    ...(failed
      ? {
          run,
          "run-graph": `${run}?tab=graph`,
          "run-tasks": `${run}?tab=tasks`,
          "run-events": `${run}?tab=events`,
          "run-params": `${run}?tab=params`,
          task,
          "task-params": `${task}?tab=params`,
          "task-output": `${task}?tab=output`,
          "task-items": `${task}?tab=items`,
          "task-history": `${task}?tab=history`,
          retry: `${run}?sheet=retry&of=${failed.id}`,
          mark: `${run}?sheet=mark&of=${failed.id}`,
        }
      : {}),
    ...(live
      ? { "run-live": `/runs/${live.id}`, cancel: `/runs/${live.id}?sheet=cancel&of=${live.id}` }
      : {}),
    ...(story
      ? {
          "graph-120": "/workflows/warehouse_models?tab=graph",
          "run-masked": `/runs/${story.masked[0]}`,
          "task-second-try": `/runs/${story.second_try.at(-1)}/tasks/row_counts`,
          "task-lost": `/runs/${story.lost.at(-1)}/tasks/fetch_region?map_index=${LOST_REGION}&attempt=1`,
        }
      : {}),
    trigger: `${own}?sheet=trigger&of=${workflow}`,
    pause: `${own}?sheet=pause&of=${workflow}`,
    connections: "/connections",
    audit: "/audit",
    users: "/users",
    status: "/status",
    missing: "/nowhere",
  };
}

export async function looks(world, { step }) {
  let pages = {};
  await step("pages to look at", async () => {
    pages = await pagesOf(world);
  });
  if (Object.keys(pages).length === 0) pages = await pagesOf(world).catch(() => ({}));
  const look = async (size, viewport) => {
    for (const theme of ["light", "dark"]) {
      const w = await window(world, { size: viewport, theme });
      for (const [name, path] of Object.entries(pages)) {
        await step(`looks: ${name} ${size} ${theme}`, async () => {
          w.problems.length = 0;
          await w.goto(path);
          await w.page.waitForTimeout(300);
          await w.shot(`${name}-${size}-${theme}`);
          assert.deepEqual(w.problems, []);
          const said = await w.page.locator("body").innerText();
          assert.ok(said.length > 80 || name === "missing", `the page says only "${said}"`);
          assert.doesNotMatch(said, /This page failed/);
          const wide = await tooWide(w.page);
          assert.ok(wide <= 1, `${wide} px too wide`);
          assert.deepEqual(await axe(w.page), []);
        });
      }
      await w.close();
    }
  };
  await Promise.all([look("desk", DESK), look("phone", PHONE)]);
}
