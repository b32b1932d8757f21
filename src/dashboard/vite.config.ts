import { defineConfig } from "vite";

// `npm run dev` shows the sources with the data of a parent that runs: PARENT=http://127.0.0.1:19999.
declare const process: { env: Record<string, string | undefined> };
const parent = process.env["PARENT"] ?? "http://127.0.0.1:19999";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  // The parent serves these files at every path, see src/dashboard.rs.
  base: "/",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The page is small enough for one file, which the browser fetches while it reads the head.
    rollupOptions: { output: { inlineDynamicImports: true } },
  },
  server: {
    proxy: { "^/(host/[^/]+/)?(api|metrics|-)(/|$)": parent },
  },
  test: { include: ["src/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
