import process from "node:process";
import { defineConfig } from "vite";

// The built page is embedded in the Go package above this folder, so that it has to be complete:
// nothing inlined (the server's policy refuses data: and inline code), nothing from elsewhere.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/v1": { target: process.env.LEAT_SERVER ?? "http://127.0.0.1:8080", ws: true },
    },
  },
});
