// What all steps share: a browser on one product, steps that count, clicks that count.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

const HERE = dirname(fileURLToPath(import.meta.url));
export const OUT = process.env.UPDRAFT_E2E_OUT ?? join(tmpdir(), "updraft-e2e");
export const DESK = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
/** Longest that something may take that happens by itself. */
export const PATIENCE = Number(process.env.UPDRAFT_E2E_PATIENCE ?? 90) * 1000;

const MOCK_PORT = Number(process.env.UPDRAFT_E2E_PORT ?? 4199);

/** The mock of the contract in a process of its own; the real product is somebody else's to start. */
async function startMock() {
  if (!existsSync(join(HERE, "..", "dist", "index.html")))
    throw new Error("dist/ is missing: run `npm run build` first");
  const child = spawn(
    process.execPath,
    [join(HERE, "..", "dev", "mock.mjs"), "--port", String(MOCK_PORT)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("exit", () => reject(new Error("the mock ended at once; is its port taken?")));
  });
  return child;
}

export async function open() {
  mkdirSync(OUT, { recursive: true });
  const real = process.env.UPDRAFT_E2E_URL;
  const mock = real ? undefined : await startMock();
  const base = (real ?? `http://127.0.0.1:${MOCK_PORT}`).replace(/\/$/, "");
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  const world = {
    base,
    mock: Boolean(mock),
    browser,
    hosts: new Set(),
    state: undefined,
    async close() {
      await browser.close();
      mock?.kill();
    },
  };
  return world;
}

/** A signed-in window. `problems` collects what the page itself complains about. */
export async function window(world, { size = DESK, theme = "light", signedIn = true } = {}) {
  const phone = size === PHONE;
  const context = await world.browser.newContext({
    viewport: size,
    colorScheme: theme,
    hasTouch: phone,
    isMobile: phone,
    timezoneId: "Europe/Berlin",
    reducedMotion: "reduce",
    ...(signedIn && world.state ? { storageState: world.state } : {}),
  });
  context.setDefaultTimeout(20_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => undefined);
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http")) world.hosts.add(url.host);
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    // A browser reports every answer of 4xx there; the steps that provoke one look at it themselves.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      problems.push(message.text());
  });
  let clicks = 0;
  return {
    context,
    page,
    problems,
    goto: async (path) => {
      await page.goto(world.base + path);
      await ready(page);
    },
    /** Counts what a person would have to click. */
    click: async (locator) => {
      clicks += 1;
      await locator.click();
    },
    clicks: () => clicks,
    resetClicks: () => {
      clicks = 0;
    },
    json: async (path) => {
      const answer = await context.request.get(`${world.base}/api/v1${path}`);
      assert.ok(answer.ok(), `GET ${path} answered ${answer.status()}`);
      return answer.json();
    },
    shot: (name) => page.screenshot({ path: join(OUT, `${name}.png`) }),
    close: () => context.close(),
  };
}

/** Until nothing is a skeleton any more. */
export async function ready(page) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".skeleton"), null, { timeout: 20_000 });
}

/** Asks again and again, for what happens by itself. */
export async function until(what, look, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${patience / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

export async function axe(page) {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  return violations.map(
    (each) => `${each.id} (${each.nodes.length}): ${each.nodes[0].target.join(" ")}`,
  );
}

export const tooWide = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** One process, one list; at the end the two numbers. */
export function runner() {
  let passed = 0;
  let skipped = 0;
  const failures = [];
  return {
    async step(name, act, { always = false } = {}) {
      const only = process.argv.slice(2);
      if (!always && only.length > 0 && !only.some((word) => name.includes(word))) return;
      const begun = Date.now();
      try {
        const said = await act();
        if (said?.skip) {
          skipped += 1;
          console.log(`-- ${name}: ${said.skip}`);
          return;
        }
        passed += 1;
        console.log(
          `ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)${said ? ` ${said}` : ""}`,
        );
      } catch (error) {
        failures.push(name);
        console.log(
          `!! ${name}\n   ${String(error?.stack ?? error)
            .split("\n")
            .slice(0, 8)
            .join("\n   ")}`,
        );
      }
    },
    end() {
      if (failures.length > 0) console.log(`failed: ${failures.join("; ")}`);
      console.log(
        `${passed} passed, ${failures.length} failed${skipped ? `, ${skipped} left out` : ""}`,
      );
      return failures.length === 0;
    },
  };
}
