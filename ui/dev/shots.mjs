// Screenshots of pages in both themes and sizes, with axe and the page's own errors. Not a test: a way to look.
// Usage: node dev/shots.mjs [--base http://127.0.0.1:4180] [--out shots] [--only NAME,NAME] [--no-axe] [--size desk|phone] [--theme light|dark]
// A name is one of `pages` below; the mock must be running (node dev/mock.mjs) on a built dist/.

import { mkdirSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

const flag = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? fallback : process.argv[i + 1];
};
const base = flag("base", "http://127.0.0.1:4180");
const out = flag("out", "shots");
const only = flag("only", "").split(",").filter(Boolean);
const AXE = !process.argv.includes("--no-axe");
mkdirSync(out, { recursive: true });

const json = async (path) =>
  (await fetch(`${base}/api/v1${path}`, { headers: { cookie: "updraft_session=dev" } })).json();
const newest = async (workflow, state) =>
  (await json(`/runs?workflow=${workflow}&state=${state}&limit=1`)).items[0]?.id;
const failed = await newest("flights_etl", "failed");
const live = await newest("clickhouse_rebuild", "running");
const compacted = await newest("adsb_compaction", "succeeded");
const lost = (await json("/runs?workflow=flights_etl&limit=40")).items.find((r) =>
  r.logical_date.startsWith("2026-11-19"),
)?.id;

const pages = {
  login: "/login",
  setup: "/setup?token=abc",
  home: "/",
  workflows: "/workflows",
  grid: "/workflows/flights_etl",
  wide: "/workflows/year_matrix?runs=365",
  graph: "/workflows/flights_etl?tab=graph",
  "graph-120": "/workflows/warehouse_models?tab=graph",
  wruns: "/workflows/flights_etl?tab=runs",
  durations: "/workflows/flights_etl?tab=durations",
  calendar: "/workflows/flights_etl?tab=calendar",
  schedule: "/workflows/warehouse_models?tab=schedule",
  code: "/workflows/flights_etl?tab=code",
  diff: "/workflows/flights_etl?tab=code&version=2&against=1",
  runs: "/runs",
  run: `/runs/${failed}`,
  "run-live": `/runs/${live}`,
  "run-graph": `/runs/${failed}?tab=graph`,
  "run-tasks": `/runs/${failed}?tab=tasks`,
  "run-events": `/runs/${failed}?tab=events`,
  "run-params": `/runs/${failed}?tab=params`,
  task: `/runs/${failed}/tasks/row_counts`,
  "task-two": `/runs/${failed}/tasks/row_counts?attempt=3&with=1`,
  "task-lost": `/runs/${lost}/tasks/aircraft_registry`,
  "task-lost-1": `/runs/${lost}/tasks/aircraft_registry?attempt=1`,
  "task-params": `/runs/${failed}/tasks/row_counts?tab=params`,
  "task-output": `/runs/${lost}/tasks/aircraft_registry?tab=output`,
  "task-items": `/runs/${failed}/tasks/row_counts?tab=items`,
  "task-history": `/runs/${failed}/tasks/row_counts?tab=history`,
  "task-mapped": `/runs/${live}/tasks/rebuild`,
  "task-waits": `/runs/${live}/tasks/rebuild?map_index=4`,
  "task-huge": `/runs/${compacted}/tasks/compact`,
  trigger: "/workflows/airport_report?sheet=trigger&of=airport_report",
  retry: `/runs/${failed}?sheet=retry&of=${failed}`,
  "retry-tasks": `/runs/${failed}?sheet=retry&of=${failed}&pick=row_counts`,
  "retry-old": `/runs/${lost}?sheet=retry&of=${lost}&pick=*`,
  mark: `/runs/${failed}?sheet=mark&of=${failed}&pick=row_counts`,
  cancel: `/runs/${live}?sheet=cancel&of=${live}`,
  pause: "/?sheet=pause&of=flights_etl",
  connections: "/connections",
  connection: "/connections?name=warehouse",
  audit: "/audit",
  users: "/users",
  status: "/status",
  missing: "/nowhere",
};

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
let bad = 0;
try {
  for (const [size, viewport] of Object.entries({
    desk: { width: 1440, height: 900 },
    phone: { width: 390, height: 844 },
  })) {
    if (flag("size", size) !== size) continue;
    for (const theme of ["light", "dark"]) {
      if (flag("theme", theme) !== theme) continue;
      const context = await browser.newContext({
        viewport,
        colorScheme: theme,
        hasTouch: size === "phone",
        isMobile: size === "phone",
        timezoneId: "Europe/Berlin",
        reducedMotion: "reduce",
      });
      await context.addCookies([{ name: "updraft_session", value: "dev", url: base }]);
      for (const [name, path] of Object.entries(pages)) {
        if (only.length && !only.includes(name)) continue;
        const page = await context.newPage();
        const problems = [];
        page.on("pageerror", (e) => problems.push(String(e)));
        page.on("console", (m) => {
          if (m.type() === "error") problems.push(m.text());
        });
        await page.goto(base + path);
        await page.locator("main, h1").first().waitFor();
        await page
          .waitForFunction(() => !document.querySelector(".skeleton"), null, { timeout: 8000 })
          .catch(() => problems.push("still loading"));
        await page.waitForTimeout(350);
        await page.screenshot({ path: `${out}/${name}-${size}-${theme}.png` });
        const wide = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (wide > 1) problems.push(`page is ${wide} px too wide`);
        if (AXE) {
          const { violations } = await new AxeBuilder({ page })
            .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"])
            .analyze();
          for (const each of violations)
            problems.push(
              `axe ${each.id}: ${each.nodes.length} × ${each.nodes[0].target.join(" ")}`,
            );
        }
        console.log(
          `${problems.length ? "!!" : "ok"} ${name} ${size} ${theme} ${problems.join("\n     ")}`,
        );
        bad += problems.length ? 1 : 0;
        await page.close();
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
}
process.exit(bad ? 1 : 0);
