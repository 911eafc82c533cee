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

export default defineConfig({
  plugins: [
    tanstackRouter({ target: "react", autoCodeSplitting: true }),
    react(),
    tailwindcss(),
    precompress(),
  ],
  build: { target: "es2023", manifest: true, sourcemap: false, chunkSizeWarningLimit: 700 },
  server: { host: "127.0.0.1", proxy: { "/api": "http://127.0.0.1:4180" } },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
