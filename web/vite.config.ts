import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The built pages are part of the Python package; the API serves them.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/abidance/api/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": { target: "http://127.0.0.1:8321", ws: true } },
  },
});
