// One night: sign in, trigger, watch, find what failed, read its log, retry it, pause, see the schedule.

import assert from "node:assert/strict";
import { PATIENCE, PHONE, ready, until, window } from "./lib.mjs";

const names = (world) => ({
  workflow: process.env.UPDRAFT_E2E_WORKFLOW ?? (world.mock ? "airport_report" : "e2e_report"),
  pool: process.env.UPDRAFT_E2E_POOL ?? (world.mock ? "clickhouse_rebuild" : "e2e_pool"),
});

export async function signIn(world, { step }) {
  await step(
    "sign in",
    async () => {
      const w = await window(world, { signedIn: false });
      const login = process.env.UPDRAFT_E2E_LOGIN_URL;
      if (login) await w.page.goto(login);
      else {
        await w.page.goto(`${world.base}/`);
        await w.page.waitForURL(/\/login/);
        await w.page.getByLabel("Name").fill(process.env.UPDRAFT_E2E_USER ?? "mira");
        await w.page
          .getByLabel("Password")
          .fill(process.env.UPDRAFT_E2E_PASSWORD ?? "a long password");
        await w.page.getByRole("button", { name: "Sign in" }).click();
      }
      await w.page.waitForURL((url) => url.pathname === "/");
      await ready(w.page);
      world.state = await w.context.storageState();
      await w.close();
    },
    { always: true },
  );
}

const stateOf = (w) => w.page.locator("header").first();

export async function story(world, { step }) {
  const { workflow, pool } = names(world);
  let run;
  let failed;

  await step("trigger with params, watch it live", async () => {
    const w = await window(world);
    await w.goto(`/workflows/${workflow}?sheet=trigger&of=${workflow}`);
    const sheet = w.page.getByRole("dialog");
    await sheet.getByLabel(/^Airport/).fill("eddf");
    await sheet.getByLabel(/^Airport/).blur();
    await sheet.getByText("It has to fit").waitFor();
    await sheet.getByLabel(/^Airport/).fill("EDDF");
    const fail = sheet.getByLabel(/^Fail/);
    if (await fail.count()) await fail.check();
    await sheet.getByLabel(/^Note/).fill("from the browser's tests");
    const act = sheet.locator("[data-act]");
    await until("the act names its count", async () => /\d/.test(await act.innerText()));
    await w.shot("story-trigger");
    await act.click();
    await w.page.waitForURL(/\/runs\/[^/?]+/);
    run = new URL(w.page.url()).pathname.split("/").at(-1);
    await ready(w.page);
    await w.page.evaluate(() => {
      globalThis.untouched = true;
    });
    await w.shot("story-live");
    await until(
      "the run ends on the screen by itself",
      async () => /Succeeded|Failed/.test(await stateOf(w).innerText()),
      PATIENCE,
    );
    assert.ok(await w.page.evaluate(() => globalThis.untouched), "the page was loaded again");
    const stored = await w.json(`/runs/${run}`);
    assert.equal(stored.params.airport, "EDDF");
    assert.equal(stored.note, "from the browser's tests");
    await w.page.getByRole("link", { name: "Params" }).click();
    await w.page.getByText("EDDF").first().waitFor();
    assert.deepEqual(w.problems, []);
    await w.close();
  });

  await step("one click twice makes one run", async () => {
    const w = await window(world);
    const keys = new Set();
    let posts = 0;
    w.page.on("request", (request) => {
      const url = new URL(request.url());
      if (
        request.method() === "POST" &&
        /\/runs$/.test(url.pathname) &&
        !url.searchParams.has("dry_run")
      ) {
        posts += 1;
        keys.add(request.headers()["idempotency-key"]);
      }
    });
    await w.goto(`/workflows/${workflow}?sheet=trigger&of=${workflow}`);
    const act = w.page.locator("[data-act]");
    await until("the act can be clicked", () => act.isEnabled());
    await act.dblclick();
    await w.page.waitForURL(/\/runs\/[^/?]+/);
    assert.ok(posts >= 1);
    assert.equal(keys.size, 1);
    assert.ok([...keys][0]);
    await w.close();
  });

  await step("clicks: what failed 0, its error line 1", async () => {
    const w = await window(world);
    await w.goto("/");
    const incidents = w.page.locator("section", { hasText: "Incidents" }).first().locator("li");
    await incidents.first().waitFor();
    for (const text of await incidents.allInnerTexts())
      assert.ok(
        text.split("\n").some((line) => line.length > 12),
        `an incident without a cause: ${text}`,
      );
    assert.equal(w.clicks(), 0);
    await w.shot("story-home");
    await w.click(logOfFailure(w.page));
    await w.page.waitForURL(/\/tasks\//);
    await ready(w.page);
    const line = w.page.locator('.log-line[class*="border-ink"]');
    await line.waitFor();
    const box = await line.boundingBox();
    assert.ok(box && box.y > 96 && box.y < 900, "the error line is not in view");
    assert.equal(w.clicks(), 1);
    failed = new URL(w.page.url());
    await w.shot("story-error");
    return `"${(await line.innerText()).replaceAll("\n", " ").slice(0, 90)}"`;
  });

  await step("every attempt has a row with its cause", async () => {
    const w = await window(world);
    await w.goto(failed.pathname + failed.search);
    const rows = w.page.locator("tr[data-attempt]");
    assert.ok((await rows.count()) >= 1);
    for (const text of await rows.allInnerTexts())
      assert.ok(
        text.split(/\t|\n/).some((cell) => cell.length > 3),
        `an attempt without a cause: ${text}`,
      );
    await w.close();
  });

  await step("retry says what it touches, and does it", async () => {
    const w = await window(world);
    await w.goto(failed.pathname + failed.search);
    const before = await w.page.locator("tr[data-attempt]").count();
    await w.page
      .getByRole("link", { name: /Re-run from here/ })
      .first()
      .click();
    const plan = w.page.locator("[data-plan]");
    await plan.waitFor();
    const said = await plan.innerText();
    assert.match(said, /\d+ task/);
    await w.page.getByLabel("Reason").fill("the browser's tests");
    const act = w.page.locator("[data-act]");
    await until("the act names its count", async () => /\d/.test(await act.innerText()));
    await w.shot("story-retry");
    await act.click();
    await w.page.getByRole("dialog").waitFor({ state: "detached" });
    await until("a new attempt shows up by itself", async () => {
      return (await w.page.locator("tr[data-attempt]").count()) > before;
    });
    await w.shot("story-retried");
    await w.close();
    return said.replaceAll("\n", " ");
  });

  await step("clicks: why is it not running 0, how long did it wait 0", async () => {
    const w = await window(world);
    let id = (await w.json(`/runs?workflow=${pool}&state=running&limit=1`)).items[0]?.id;
    if (!id && !world.mock) {
      const made = await w.context.request.post(`${world.base}/api/v1/workflows/${pool}/runs`, {
        data: {},
        headers: { "sec-fetch-site": "same-origin", origin: world.base },
      });
      assert.ok(made.ok(), `POST run of ${pool} answered ${made.status()}`);
      id = (await made.json()).id;
    }
    await w.goto(`/runs/${id}`);
    const list = w.page.getByRole("region", { name: "Timeline" });
    await until("four rows say why they wait", async () => {
      const text = await list.innerText();
      return (text.match(/waits .*line/g) ?? []).length >= 4;
    });
    // Whoever holds the slot is named, and one click away.
    const holder = list.getByRole("link", { name: /rebuild/ });
    assert.ok((await holder.count()) >= 2);
    assert.ok(
      (await list.locator('[data-piece="wait"], svg path').count()) >= 1,
      "no wait is drawn",
    );
    assert.equal(w.clicks(), 0);
    await w.shot("story-waiting");
    await w.goto("/");
    await w.page
      .getByText(/waits .*(in line|slot)/)
      .first()
      .waitFor();
    await w.close();
  });

  await step("a live log grows by itself", async () => {
    const w = await window(world);
    let path;
    if (world.mock) {
      const live = (await w.json(`/runs?workflow=${pool}&state=running&limit=1`)).items[0].id;
      path = `/runs/${live}/tasks/rebuild?map_index=0`;
    } else {
      const made = await w.context.request.post(`${world.base}/api/v1/workflows/${workflow}/runs`, {
        data: {},
        headers: { "sec-fetch-site": "same-origin", origin: world.base },
      });
      assert.ok(made.ok(), `POST run of ${workflow} answered ${made.status()}`);
      const { id } = await made.json();
      const task = process.env.UPDRAFT_E2E_TALKS ?? "fetch";
      await until("it runs", async () =>
        (await w.json(`/runs/${id}/tasks`)).items.some(
          (t) => t.task === task && t.attempts.length > 0,
        ),
      );
      path = `/runs/${id}/tasks/${task}`;
    }
    await w.goto(path);
    const rows = w.page.locator(".log-line");
    await until("a line shows up", async () => (await rows.count()) > 0);
    const before = await rows.count();
    await until("more lines show up", async () => (await rows.count()) > before);
    const offsets = await rows.evaluateAll((all) => all.map((each) => Number(each.dataset.offset)));
    assert.deepEqual(
      offsets,
      [...new Set(offsets)].sort((a, b) => a - b),
      "lines twice or out of order",
    );
    await w.close();
    return `${before} lines, then ${offsets.length}`;
  });

  await step("pause and unpause", async () => {
    const w = await window(world);
    const id = world.mock ? "flights_etl" : workflow;
    for (const word of ["Pause", "Unpause"]) {
      await w.goto(`/workflows/${id}?sheet=pause&of=${id}`);
      const act = w.page.locator("[data-act]");
      await until(`the sheet offers to ${word.toLowerCase()}`, async () =>
        (await act.innerText()).startsWith(word),
      );
      await until("the act can be clicked", () => act.isEnabled());
      await w.shot(`story-${word.toLowerCase()}`);
      await act.click();
      await w.page.getByRole("dialog").waitFor({ state: "detached" });
      const found = await w.json(`/workflows/${id}`);
      assert.equal(found.paused, word === "Pause");
    }
    await w.close();
  });

  await step("see the schedule", async () => {
    const w = await window(world);
    const id = world.mock ? "flights_etl" : workflow;
    const preview = await w.json(`/workflows/${id}/schedule?n=5`);
    assert.ok(preview.next.length >= 5);
    await w.goto(`/workflows/${id}?tab=schedule`);
    const text = await w.page.locator("#content").innerText();
    assert.match(text, /\d\d:\d\d/);
    await w.shot("story-schedule");
    await w.close();
  });

  await step("on-call on a phone: incident, cause, log, retry", async () => {
    const w = await window(world, { size: PHONE });
    await w.goto("/");
    const log = logOfFailure(w.page);
    await log.waitFor();
    await fingers(log);
    await w.shot("phone-home");
    await w.click(log);
    await w.page.waitForURL(/\/tasks\//);
    await ready(w.page);
    await w.page.locator("li[data-attempt]").first().waitFor();
    await w.page.locator(".log-line").first().waitFor();
    await w.shot("phone-log");
    const retry = w.page.getByRole("link", { name: /Re-run/ }).first();
    const visible = w.page.locator('a:visible:has-text("Re-run")').first();
    if (await visible.count()) {
      await fingers(visible);
      await w.click(visible);
      const act = w.page.locator("[data-act]");
      await w.page.locator("[data-plan]").waitFor();
      await fingers(act);
      const box = await act.boundingBox();
      assert.ok(box && box.y + box.height <= 844, "the act is below the fold");
      await w.shot("phone-retry");
    } else assert.ok(await retry.count());
    const wide = await w.page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.ok(wide <= 1, `${wide} px too wide`);
    assert.ok(w.clicks() <= 2);
    await w.close();
  });
}

/** The log of the newest incident that a retry can mend. */
function logOfFailure(page) {
  return page
    .locator("#content li")
    .filter({ has: page.getByRole("button", { name: /^Re-run/ }) })
    .getByRole("link", { name: /^Open log/ })
    .first();
}

async function fingers(locator) {
  const box = await locator.boundingBox();
  assert.ok(box && box.height >= 44, `a target of ${box?.height} px`);
}
