// Figures of the page against the mock: cold and warm content, the wide grid, its scrolling, requests of an idle page.
// Usage: node dev/perf.mjs [--base http://127.0.0.1:4180] [--idle 60]
import { chromium } from "playwright-core";

const flag = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? fallback : process.argv[i + 1];
};
const base = flag("base", "http://127.0.0.1:4180");
const idle = Number(flag("idle", 60));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const ms = (list) => `${Math.round(median(list))} ms (${list.map(Math.round).join(", ")})`;

async function context() {
  const made = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await made.addCookies([{ name: "updraft_session", value: "dev", url: base }]);
  return made;
}

/** Time from navigation to the first element of the content, cold and then warm in the same cache. */
async function content(name, path, selector) {
  const cold = [];
  const warm = [];
  for (let i = 0; i < 5; i++) {
    const own = await context();
    for (const list of [cold, warm]) {
      const page = await own.newPage();
      const began = performance.now();
      await page.goto(base + path, { waitUntil: "commit" });
      await page.locator(selector).first().waitFor();
      list.push(performance.now() - began);
      await page.close();
    }
    await own.close();
  }
  console.log(`${name}: cold ${ms(cold)}, warm ${ms(warm)}`);
}

try {
  await content("home", "/", "main li");
  await content("workflows", "/workflows", "[role=row] a");
  await content("grid", "/workflows/flights_etl", "canvas[data-drawn]");

  const own = await context();
  const page = await own.newPage();
  await page.goto(`${base}/workflows/flights_etl`);
  await page.locator("canvas[data-drawn]").waitFor();
  const opened = [];
  for (let i = 0; i < 5; i++) {
    await page.goto(`${base}/workflows?search=year_matrix`);
    const link = page.getByRole("link", { name: "year_matrix" });
    await link.waitFor();
    await page.waitForTimeout(300);
    const answer = page.waitForResponse((r) => r.url().includes("/grid"));
    await link.click();
    await answer.then((r) => r.finished());
    const began = performance.now();
    await page.locator("canvas[data-drawn]").waitFor();
    opened.push(performance.now() - began);
    await page.goto(`${base}/workflows/year_matrix?runs=365`);
    await page.locator("canvas[data-drawn]").waitFor();
  }
  console.log(`wide grid, 60 runs × 200 tasks, answer to picture: ${ms(opened)}`);

  const wide = [];
  for (let i = 0; i < 5; i++) {
    await page.goto(`${base}/workflows/year_matrix`);
    await page.locator("canvas[data-drawn]").waitFor();
    const answer = page.waitForResponse((r) => r.url().includes("runs=365"));
    await page.getByRole("button", { name: "365 runs" }).click();
    await answer.then((r) => r.finished());
    const began = performance.now();
    await page.waitForFunction(() => {
      const box = document.querySelector('[aria-label="Grid of runs and tasks"]');
      return box && box.scrollWidth > 7000;
    });
    wide.push(performance.now() - began);
  }
  console.log(`wide grid, 365 runs × 200 tasks, answer to picture: ${ms(wide)}`);

  const frames = await page.evaluate(async () => {
    const box = document.querySelector('[aria-label="Grid of runs and tasks"]');
    const times = [];
    let last = performance.now();
    for (let i = 0; i < 240; i++) {
      box.scrollLeft -= 23;
      box.scrollTop += 11;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    return times;
  });
  const sorted = [...frames].sort((a, b) => a - b);
  console.log(
    `scrolling: median frame ${sorted[120].toFixed(1)} ms, p95 ${sorted[228].toFixed(1)} ms, over 20 ms: ${frames.filter((f) => f > 20).length} of 240`,
  );

  await page.goto(`${base}/`);
  await page.locator("main li").first().waitFor();
  await page.waitForTimeout(3000);
  const seen = [];
  page.on("request", (r) => seen.push(r.url()));
  await page.waitForTimeout(idle * 1000);
  console.log(`idle home, ${idle} s: ${seen.length} requests ${seen.join(" ")}`);
} finally {
  await browser.close();
}
