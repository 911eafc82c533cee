import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Writes `FILE.br` and `FILE.gz` beside every text file that gains from it, so that the server never compresses. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          if (!/\.(js|css|html|svg|json)$/.test(name)) continue;
          const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (source.length < 1024) continue;
          const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
          const written = [
            [`${name}.br`, brotliCompressSync(source, { params })],
            [`${name}.gz`, gzipSync(source, { level: 9 })],
          ] as const;
          for (const [fileName, data] of written) {
            if (data.length < source.length)
              this.emitFile({ type: "asset", fileName, source: data });
          }
        }
      },
    },
  };
}

/** Which chunks an address will need, besides those of every page. */
const CHUNKS: readonly [address: string, modules: readonly string[]][] = [
  ["^/$", ["routes/_app/index.tsx"]],
  ["^/workflows/?$", ["routes/_app/workflows/index.tsx"]],
  ["^/workflows/[^/]+$", ["routes/_app/workflows/$workflow.tsx", "features/grid/GridTab.tsx"]],
  ["^/runs/?$", ["routes/_app/runs/index.tsx"]],
  ["^/runs/[^/]+$", ["routes/_app/runs/$run.tsx"]],
  ["^/runs/.+/tasks/", ["routes/_app/runs/$run_.tasks.$task.tsx", "features/log/LogViewer.tsx"]],
];

/** Tells `boot.js` the names of the chunks, and gives it one that may be kept for good. */
function boot(): Plugin {
  const root = dirname(fileURLToPath(import.meta.url));
  return {
    name: "boot",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const all = Object.values(bundle).filter((file) => file.type === "chunk");
        const needs = (file: string, found = new Set<string>()): Set<string> => {
          const chunk = all.find((each) => each.fileName === file);
          if (chunk && !chunk.isEntry && !found.has(file)) {
            found.add(file);
            for (const each of chunk.imports) needs(each, found);
          }
          return found;
        };
        const everywhere = new Set<string>();
        for (const entry of all)
          if (entry.isEntry) for (const each of entry.imports) needs(each, everywhere);
        const chunkOf = (module: string) =>
          all.find((each) => each.facadeModuleId?.split("?")[0]?.endsWith(`src/${module}`));
        const table = CHUNKS.map(([address, modules]) => {
          const files = ["routes/_app.tsx", ...modules].flatMap((module) => {
            const chunk = chunkOf(module);
            if (!chunk) throw new Error(`no chunk begins with ${module}`);
            return [...needs(chunk.fileName)];
          });
          const own = [...new Set(files)].filter((file) => !everywhere.has(file));
          return [address, own.map((file) => `/${file}`)];
        });
        const written = readFileSync(join(root, "boot.js"), "utf8");
        const source = written.replace("chunks = [];", () => `chunks = ${JSON.stringify(table)};`);
        const hash = createHash("sha256").update(source).digest("base64url").slice(0, 8);
        const fileName = `assets/boot-${hash}.js`;
        this.emitFile({ type: "asset", fileName, source });
        const page = bundle["index.html"];
        if (page?.type !== "asset" || source === written) throw new Error("nothing to boot");
        const font = Object.keys(bundle).find((file) => /\/inter-[^/]+\.woff2$/.test(file));
        const preload = `<link rel="preload" as="font" type="font/woff2" crossorigin href="/${font}">`;
        page.source = String(page.source)
          .replace("/boot.js", `/${fileName}`)
          .replace("</head>", `  ${preload}\n  </head>`);
      },
    },
  };
}

/**
 * What every page needs comes in one file: a browser would otherwise ask for twenty small ones, six at a time, after the
 * first has told it to.
 */
const onEveryPage =
  /node_modules\/(react|react-dom|scheduler|use-sync-external-store|@tanstack\/(history|query-core|react-query|react-router|react-store|router-core|store))\/|ui\/src\/((api|lib|components)\/|ui\/(Button|Feedback|Icon|Tabs|Toast|cx)\.|features\/shell\/(Shell|Problems|keys|may|nav)\.|features\/run-actions\/sheet\.|features\/run\/(WhyNot|links)\.)/;

export default defineConfig({
  plugins: [
    tanstackRouter({ target: "react", autoCodeSplitting: true }),
    react(),
    tailwindcss(),
    boot(),
    precompress(),
  ],
  build: {
    target: "es2023",
    manifest: true,
    sourcemap: false,
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "app", test: onEveryPage }] } },
    },
  },
  server: { host: "127.0.0.1", proxy: { "/api": "http://127.0.0.1:4180" } },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
