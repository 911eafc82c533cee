// Fails when the script that home fetches cold, brotli as served, exceeds 150 KiB, or any lazy chunk 130 KiB.
// Reads dist/.vite/manifest.json: home = the entry, the shell, and the route of "/", each with its static imports.

import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const KIB = 1024;
const FIRST = 150 * KIB;
const LAZY = 130 * KIB;
const dist = join(dirname(fileURLToPath(import.meta.url)), "..", "dist");
const manifest = JSON.parse(readFileSync(join(dist, ".vite", "manifest.json"), "utf8"));

const served = (file) => {
  try {
    return statSync(join(dist, `${file}.br`)).size;
  } catch {
    return statSync(join(dist, file)).size;
  }
};

/** The chunk and all that it imports statically. */
function closure(key, found = new Set()) {
  const chunk = manifest[key];
  if (!chunk || found.has(key)) return found;
  found.add(key);
  for (const each of chunk.imports ?? []) closure(each, found);
  return found;
}

const keys = Object.keys(manifest);
const wanted = [
  "index.html",
  ...keys.filter((key) => /routes\/_app\.tsx/.test(key) || /routes\/_app\/index\.tsx/.test(key)),
];
const first = new Set();
for (const key of wanted) closure(key, first);
const files = [...new Set([...first].map((key) => manifest[key].file))];
const page = readFileSync(join(dist, "index.html"), "utf8");
const boot = /assets\/boot-[^"]+\.js/.exec(page)[0];
const total = files.reduce((sum, file) => sum + served(file), served(boot));
const kib = (bytes) => `${(bytes / KIB).toFixed(1)} KiB`;

let failed = total > FIRST;
console.log(`first load of home: ${kib(total)} of ${kib(FIRST)}, ${files.length + 1} files`);
const lazy = keys
  .filter((key) => !first.has(key) && manifest[key].file.endsWith(".js"))
  .map((key) => ({ key, size: served(manifest[key].file) }))
  .sort((a, b) => b.size - a.size);
for (const { key, size } of lazy) {
  if (size > LAZY) failed = true;
  if (size > 8 * KIB)
    console.log(`lazy ${kib(size).padStart(10)}  ${key}${size > LAZY ? "  TOO BIG" : ""}`);
}
process.exit(failed ? 1 : 0);
