import { existsSync, readFileSync } from "node:fs";
import { defineConfig } from "vite";

// `npm run dev` shows the sources with the data of a parent that runs: PARENT=http://127.0.0.1:19999.
const parent = process.env.PARENT ?? "http://127.0.0.1:19999";

/** What is in the bundle of other people's, whose licences want to be told with it. */
const OTHERS = ["preact", "@preact/signals", "@preact/signals-core", "uplot", "@fontsource-variable/inter"];

const licences = {
  name: "licences",
  generateBundle() {
    const texts = OTHERS.map((name) => {
      const file = ["LICENSE", "LICENSE.md"].map((end) => `node_modules/${name}/${end}`).find((path) => existsSync(path));
      if (file === undefined) throw new Error(`${name} has no licence`);
      return `${name}\n${"=".repeat(name.length)}\n\n${readFileSync(file, "utf8").trim()}\n`;
    });
    this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: texts.join("\n\n") });
  },
};

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  // The parent serves the page at several paths, see src/dashboard.rs.
  base: "/",
  plugins: [licences],
  build: {
    target: "es2022",
    // No data: addresses, which the page's policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The page is small enough for one file, which the browser fetches while it reads the head.
    rollupOptions: { output: { inlineDynamicImports: true } },
  },
  server: { proxy: { "^/(host/[^/]+/)?(api|metrics|-)(/|$)": parent } },
  test: { include: ["src/**/*.test.ts"] },
});
