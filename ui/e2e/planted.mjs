// What the planted history hides, found at first look: its failures, its lost attempts, its masked failure, its backfill.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { OUT, PHONE, ready, until, window } from "./lib.mjs";

/** Where the planted troubles are, if a history was planted. */
export function planted() {
  const file = process.env.UPDRAFT_E2E_PLANTED;
  return file ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

/** The instance that is lost before its body begins, where one is (`LOST_REGION` of the generator). */
export const LOST_REGION = 7;

const GRID = '[aria-label="Grid of runs and tasks"]';

export async function troubles(world, { step }) {
  const story = planted();
  if (!story) return;

  await step("planted: every failed row says why", async () => {
    const w = await window(world);
    await w.goto("/runs?state=failed");
    const { items } = await w.json("/runs?state=failed&limit=50");
    const text = await w.page.locator("#content").innerText();
    assert.ok(items.length >= 4);
    for (const run of items) {
      assert.ok(run.failure?.line?.length > 10, `${run.id} failed without a line`);
      assert.ok(
        text.includes(run.failure.line.slice(0, 30)),
        `not on the page: ${run.failure.line}`,
      );
    }
    await w.close();
    return `${items.length} rows`;
  });

  await step(
    "planted: home counts by when it happened, a backfill of old days included",
    async () => {
      const w = await window(world);
      const home = await w.json("/home");
      const runs = home.incidents.map((each) => each.run);
      for (const run of [...story.failed, ...story.backfill_failed].filter((id) => id))
        if (story.backfill_failed.includes(run) || run === story.failed.at(-1))
          assert.ok(runs.includes(run), `no incident of ${run}`);
      assert.equal(
        home.counts.failed,
        (await w.json(`/runs?state=failed&by=ended&since=${home.window.since}&limit=200`)).items
          .length,
      );
      await w.goto("/");
      await w.page.getByText("runs that ended in the last 24 h").first().waitFor();
      await w.page.getByText("flight_prices").first().waitFor();
      await w.close();
      return `${home.counts.failed} failed`;
    },
  );

  await step("planted: an attempt lost before it spoke has its row", async () => {
    const w = await window(world);
    await w.goto(`/runs/${story.lost.at(-1)}/tasks/fetch_region?map_index=${LOST_REGION}`);
    const first = w.page.locator('tr[data-attempt="1"]');
    const text = await first.innerText();
    assert.match(text, /lost before it said anything: .*\(planted\/1\)/);
    await w.close();
    return `"${text.replaceAll(/\s+/g, " ").slice(0, 110)}"`;
  });

  await step("planted: a run that hides a failure shows it", async () => {
    const w = await window(world);
    const run = await w.json(`/runs/${story.masked[0]}`);
    assert.equal(run.state, "succeeded");
    assert.equal(run.masked, true);
    const grid = await w.json("/workflows/flights_etl/grid?runs=60");
    assert.ok(grid.runs.find((each) => each.id === run.id).masked);
    await w.goto(`/runs/${run.id}`);
    await w.page
      .getByText(/row count/)
      .first()
      .waitFor();
    await w.close();
  });

  await step("planted: retries, waits and skips are in the cells, in greyscale too", async () => {
    const w = await window(world);
    const grid = await w.json("/workflows/flights_etl/grid?runs=60");
    const at = grid.tasks.findIndex((task) => task.id === "row_counts");
    for (const run of story.second_try) {
      const column = grid.runs.find((each) => each.id === run);
      assert.equal(column.cells[at], "s");
      assert.ok(column.extra[at].a >= 2, "a second try leaves no mark");
    }
    await w.goto("/workflows/flights_etl");
    await w.page.locator("canvas[data-drawn]").waitFor();
    await w.page.evaluate(() => {
      document.documentElement.style.filter = "grayscale(1)";
    });
    await w.page.screenshot({ path: join(OUT, "grid-greyscale.png") });
    await w.close();
    return `${story.second_try.length} second tries`;
  });

  await step("planted: the newest run is in view at 1280, 1440 and 390 px", async () => {
    for (const width of [1280, 1440]) {
      const w = await window(world, { size: { width, height: 900 } });
      await w.goto("/workflows/flights_etl");
      await w.page.locator("canvas[data-drawn]").waitFor();
      const right = await w.page
        .locator(GRID)
        .evaluate((box) => box.scrollWidth - box.clientWidth - box.scrollLeft);
      assert.ok(right <= 1, `${right} px right of what is seen at ${width}`);
      await w.close();
    }
    const w = await window(world, { size: PHONE });
    await w.goto("/workflows/flights_etl");
    await until(
      "the list of tasks",
      async () => (await w.page.locator("#content li").count()) >= 13,
    );
    const failed = w.page.locator("#content li", { hasText: "row_counts" }).first();
    await failed.waitFor();
    await w.shot("phone-grid");
    await w.close();
  });

  await step("clicks: holder 1, what a re-run touches 1, next run 0, retries 0", async () => {
    const w = await window(world);
    await w.goto("/");
    // When is the next run? On home, in words.
    const next = w.page.locator("section", { hasText: "Next starts" }).first().locator("li");
    assert.ok((await next.count()) >= 5);
    assert.match(await next.first().innerText(), /in \d/);
    // Did it need retries? A number in the list, a dot in the cell.
    assert.equal(w.clicks(), 0);
    // Who holds the slot it waits for?
    const waits = w.page.locator("section", { hasText: "Waiting" }).last();
    await w.click(waits.getByRole("link", { name: /rebuild_[01]/ }).first());
    await w.page.waitForURL(/\/tasks\/rebuild_[01]/);
    await ready(w.page);
    assert.equal(w.clicks(), 1);
    w.resetClicks();
    await w.goto(`/runs/${story.failed.at(-1)}`);
    await w.click(w.page.getByRole("link", { name: /Re-run failed/ }).first());
    await w.page.locator("[data-plan]").waitFor();
    const plan = (await w.page.locator("[data-plan]").innerText()).replaceAll("\n", " ");
    assert.equal(w.clicks(), 1);
    await w.close();
    return plan.slice(0, 80);
  });
}
