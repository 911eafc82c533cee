// The built page, under the policy of the product: no inline script, no inline style, no other host.

import { createReadStream, existsSync, statSync } from "node:fs";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "dist");

export const SECURITY = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".json": "application/json",
};

export function file(req, res, path) {
  let full = join(DIST, normalize(path));
  if (!full.startsWith(DIST) || !existsSync(full) || statSync(full).isDirectory())
    full = join(DIST, "index.html");
  const headers = {
    ...SECURITY,
    "content-type": TYPES[extname(full)] ?? "application/octet-stream",
    "cache-control": full.includes("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
  };
  if (/\bbr\b/.test(req.headers["accept-encoding"] ?? "") && existsSync(`${full}.br`)) {
    headers["content-encoding"] = "br";
    full += ".br";
  } else if (/gzip/.test(req.headers["accept-encoding"] ?? "") && existsSync(`${full}.gz`)) {
    headers["content-encoding"] = "gzip";
    full += ".gz";
  }
  res.writeHead(200, headers);
  createReadStream(full).pipe(res);
}
