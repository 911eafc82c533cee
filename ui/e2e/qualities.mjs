// What holds on every page: silence, no other host, honest loading, small headers, logs of any size.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { ready, until, window } from "./lib.mjs";

const IDLE = Number(process.env.UPDRAFT_E2E_IDLE ?? 60);

/** Beside what only looks: a hint makes the minute begin anew. */
export async function idle(world, { step }) {
  await step("an idle page is silent", async () => {
    const w = await window(world);
    // A hint says that something changed: then the page was not idle, and the minute begins anew.
    await w.page.addInitScript(() => {
      globalThis.hints = 0;
      const Real = globalThis.EventSource;
      globalThis.EventSource = class extends Real {
        constructor(...given) {
          super(...given);
          for (const kind of ["run", "catalog"])
            this.addEventListener(kind, () => {
              globalThis.hints += 1;
            });
        }
      };
    });
    await w.goto("/");
    await w.page.waitForTimeout(4_000);
    const hints = () => w.page.evaluate(() => globalThis.hints);
    for (let round = 1; round <= 4; round++) {
      const before = await hints();
      const seen = [];
      const note = (request) => seen.push(`${request.method()} ${request.url()}`);
      w.page.on("request", note);
      await w.page.waitForTimeout(IDLE * 1000);
      w.page.off("request", note);
      if ((await hints()) > before) {
        await w.page.waitForTimeout(2_000);
        continue;
      }
      await w.close();
      assert.deepEqual(seen, []);
      return `0 requests in ${IDLE} s`;
    }
    await w.close();
    return { skip: `something changed within every ${IDLE} s` };
  });
}

export async function qualities(world, { step }) {
  await step("a slow page shows skeletons and states nothing", async () => {
    const w = await window(world);
    const failed = (await w.json("/runs?state=failed&limit=1")).items[0];
    const task = failed?.failure?.task;
    await w.page.addInitScript(() => {
      globalThis.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
          if (!entry.hadRecentInput) globalThis.shift += entry.value;
      }).observe({ type: "layout-shift", buffered: true });
    });
    await w.page.route(/\/api\/v1\/(?!events)/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      await route.continue().catch(() => undefined);
    });
    const shifts = [];
    for (const path of [
      "/",
      "/workflows",
      "/runs",
      `/runs/${failed?.id}`,
      `/runs/${failed?.id}?tab=tasks`,
      `/runs/${failed?.id}/tasks/${task}`,
    ]) {
      await w.page.goto(world.base + path);
      await w.page.locator(".skeleton").first().waitFor();
      await w.page.waitForTimeout(500);
      // Names of controls are no facts; all the rest would be read as one.
      const text = await w.page.evaluate(() => {
        const copy = document.querySelector("#content").cloneNode(true);
        for (const each of copy.querySelectorAll(
          "nav, button, select, legend, label, input, .sr-only",
        ))
          each.remove();
        return copy.textContent;
      });
      assert.doesNotMatch(
        text,
        /\d|succeeded|failed|running|nothing|not found|no (run|task|status|incident|workflow)/i,
        `${path} states something while it loads: ${text}`,
      );
      await w.shot(
        `loading${path
          .split("?")[0]
          .replaceAll(/[^a-z]+/gi, "-")
          .slice(0, 16)}`,
      );
      await ready(w.page);
      await w.page.waitForTimeout(300);
      const shift = await w.page.evaluate(() => globalThis.shift);
      shifts.push(shift.toFixed(3));
      assert.ok(shift < 0.1, `${path} jumps by ${shift}`);
    }
    await w.close();
    return `layout shift ${shifts.join(", ")}`;
  });

  await step("mapped instances: counted in the cell, listed by index, each opens", async () => {
    const w = await window(world);
    const grid = await w.json("/workflows/flights_etl/grid?runs=60");
    const column = grid.runs.findLast((run) => Object.values(run.extra).some((each) => each.n > 1));
    if (!column) {
      await w.close();
      return { skip: "no run of flights_etl has a mapped task" };
    }
    const [at, cell] = Object.entries(column.extra).find(([, each]) => each.n > 1);
    const task = grid.tasks[Number(at)].id;
    const view = await w.json(`/runs/${column.id}/view`);
    const whole = view.tasks.find((each) => each.task === task && each.map_index == null);
    const parts = view.tasks.filter((each) => each.task === task && each.map_index != null);
    assert.equal(parts.length, cell.n);
    assert.equal(whole.instances.total, cell.n);
    await w.goto(`/runs/${column.id}`);
    const row = w.page.getByRole("region", { name: "Timeline" }).locator("li", { hasText: task });
    assert.match(await row.first().innerText(), new RegExp(`\\b${cell.n}\\b`));
    await w.goto(`/runs/${column.id}/tasks/${task}`);
    const instances = w.page.locator("#content").getByRole("link", { name: /\[\d+\]/ });
    assert.ok((await instances.count()) >= Math.min(cell.n, 20));
    await w.shot("task-instances");
    await w.goto(`/runs/${column.id}/tasks/${task}?map_index=${parts.at(-1).map_index}`);
    await w.page.locator("tr[data-attempt]").first().waitFor();
    await w.close();
    return `${task} × ${cell.n}`;
  });

  await step("headers are at most 96 px", async () => {
    const w = await window(world);
    const failed = (await w.json("/runs?state=failed&limit=1")).items[0];
    const found = [];
    for (const path of [`/runs/${failed.id}`, `/runs/${failed.id}/tasks/${failed.failure.task}`]) {
      await w.goto(path);
      const box = await w.page.locator("main header").first().boundingBox();
      found.push(Math.round(box.height));
      assert.ok(box.height <= 96.5, `${path}: ${box.height} px`);
    }
    await w.close();
    return found.join(", ");
  });

  await step("offline is said, and what was known stays", async () => {
    const w = await window(world);
    await w.goto("/");
    const rows = await w.page.locator("#content li").count();
    await w.context.setOffline(true);
    // An open stream survives the switch of the browser; the product ends it when the daemon goes.
    await w.page.evaluate(() => globalThis.dispatchEvent(new Event("offline")));
    const blocked = await w.page.evaluate(() =>
      fetch("/api/v1/me").then(
        () => false,
        () => true,
      ),
    );
    assert.ok(blocked);
    assert.equal(await w.page.locator("#content li").count(), rows);
    await w.close();
  });

  await step("the daemon is killed and comes back: said, marked, read again", async () => {
    const { UPDRAFT_E2E_PID: pidFile, UPDRAFT_E2E_START: start } = process.env;
    if (!pidFile || !start) return { skip: "UPDRAFT_E2E_PID and UPDRAFT_E2E_START name no daemon" };
    const w = await window(world);
    await w.goto("/");
    const content = w.page.locator("#content");
    const rows = await content.locator("li").count();
    await w.page.evaluate(() => {
      globalThis.untouched = true;
    });
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
    const banner = w.page.getByText(/No connection to the daemon since \d\d:\d\d:\d\d/);
    await banner.waitFor();
    const mark = "#content[data-stale]";
    assert.equal(await w.page.locator(mark).count(), 1);
    assert.ok((await content.locator("li").count()) >= rows, "what was known is gone");
    const filter = await w.page
      .locator(`${mark} > :last-child`)
      .evaluate((element) => getComputedStyle(element).filter);
    assert.match(filter, /grayscale/);
    const clocks = () => content.innerText().then((text) => text.match(/\d+ m \d+ s/g)?.join());
    const before = await clocks();
    await w.page.waitForTimeout(3_000);
    assert.equal(await clocks(), before, "it goes on counting what nobody confirms");
    await w.shot("daemon-away");
    const read = w.page.waitForResponse((response) => response.url().endsWith("/api/v1/home"), {
      timeout: 60_000,
    });
    const begun = Date.now();
    spawn(start, { stdio: "ignore", detached: true, shell: true }).unref();
    await read;
    await banner.waitFor({ state: "detached" });
    assert.equal(await w.page.locator(mark).count(), 0);
    assert.ok(await w.page.evaluate(() => globalThis.untouched), "the page was loaded again");
    await ready(w.page);
    await w.close();
    return `read again ${((Date.now() - begun) / 1000).toFixed(1)} s after the start`;
  });

  await step("a log of a GiB", async () => {
    const w = await window(world);
    let path = process.env.UPDRAFT_E2E_HUGE;
    if (!path && !world.mock) {
      await w.close();
      return { skip: "UPDRAFT_E2E_HUGE names no task page" };
    }
    if (!path) {
      const run = (await w.json("/runs?workflow=adsb_compaction&state=succeeded&limit=1")).items[0]
        .id;
      path = `/runs/${run}/tasks/compact`;
    }
    const times = {};
    const timed = async (name, act) => {
      const begun = Date.now();
      await act();
      times[name] = Date.now() - begun;
    };
    const rows = w.page.locator(".log-line");
    const firstRow = async () => Number(await rows.first().getAttribute("data-line"));
    await timed("first error", async () => {
      await w.goto(path);
      await w.page.locator('.log-line[class*="border-ink"]').waitFor();
    });
    await timed("start", async () => {
      await w.page.getByRole("button", { name: "Start", exact: true }).click();
      await until("line 1", async () => (await firstRow()) === 1);
    });
    await timed("end", async () => {
      await w.page.getByRole("button", { name: "End", exact: true }).click();
      await until("the end", async () => {
        const last = Number(await rows.last().getAttribute("data-offset"));
        const max = Number(await w.page.getByRole("slider").getAttribute("aria-valuemax"));
        return max - last < 4_096;
      });
    });
    await timed("middle by the rail", async () => {
      const rail = w.page.getByRole("slider");
      const box = await rail.boundingBox();
      await w.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
      await until("the middle", async () => {
        const now = Number(await rail.getAttribute("aria-valuenow"));
        const max = Number(await rail.getAttribute("aria-valuemax"));
        return Math.abs(now / max - 0.5) < 0.02;
      });
    });
    await timed("scroll 40 screens", async () => {
      const box = await w.page.getByRole("log").boundingBox();
      await w.page.mouse.move(box.x + 200, box.y + 200);
      const from = await firstRow();
      for (let i = 0; i < 80; i++) {
        await w.page.mouse.wheel(0, 600);
        await w.page.waitForTimeout(25);
      }
      await until("it went on", async () => (await firstRow()) > from);
    });
    const line = world.mock ? 13_000_000 : 1000;
    await timed("go to line", async () => {
      await w.page.getByLabel("Go to line").fill(String(line));
      await w.page.getByLabel("Go to line").press("Enter");
      await w.page.locator(`.log-line[data-line="${line}"][class*="border-ink"]`).waitFor();
    });
    if (world.mock) {
      await w.page.getByRole("button", { name: "Start", exact: true }).click();
      await until("line 1", async () => (await firstRow()) === 1);
      await timed("search to 720 MB", async () => {
        await w.page.getByLabel("Search the whole log").fill("row group 42");
        await w.page.getByLabel("Search the whole log").press("Enter");
        await w.page.locator('.log-line[data-line="9000001"][class*="border-ink"]').waitFor();
      });
    }
    const drawn = await rows.count();
    assert.ok(drawn < 4_000, `${drawn} rows are drawn`);
    await w.shot("log-huge");
    assert.deepEqual(w.problems, []);
    await w.close();
    return `${Object.entries(times)
      .map(([name, ms]) => `${name} ${ms} ms`)
      .join(", ")}; ${drawn} rows in memory`;
  });

  await step("a link leads to its line", async () => {
    const w = await window(world);
    const failed = (await w.json("/runs?state=failed&limit=1")).items[0];
    await w.goto(`/runs/${failed.id}/tasks/${failed.failure.task}?line=2`);
    await w.page.locator('.log-line[data-line="2"][class*="border-ink"]').waitFor();
    await w.close();
  });

  await step("no request to another host", async () => {
    const own = new URL(world.base).host;
    assert.deepEqual(
      [...world.hosts].filter((host) => host !== own),
      [],
    );
  });
}
