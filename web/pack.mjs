// Leaves packed twins beside the built files that are worth it: packed once, well, rather than for each request.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const FOLDER = fileURLToPath(new URL("../src/abidance/api/web", import.meta.url));
const SMALLEST = 1_024;

for (const name of readdirSync(FOLDER, { recursive: true, encoding: "utf8" })) {
  const path = join(FOLDER, name);
  if (!/\.(css|html|js|json|svg|webmanifest)$/.test(name) || statSync(path).size < SMALLEST) continue;
  const content = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(content));
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
}
