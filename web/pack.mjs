// Leaves packed twins beside the built files that are worth it: packed once, well, rather than for each request. Notes
// beside them from which sources they were built, as sha256sum does: hatch_build.py takes none that is older than those.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const FOLDER = fileURLToPath(new URL("../src/abidance/api/web", import.meta.url));
const WEB = fileURLToPath(new URL(".", import.meta.url));
const SMALLEST = 1_024;

for (const name of readdirSync(FOLDER, { recursive: true, encoding: "utf8" })) {
  const path = join(FOLDER, name);
  if (!/\.(css|html|js|json|svg|webmanifest)$/.test(name) || statSync(path).size < SMALLEST) continue;
  const content = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(content));
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
}

const within = (folder) => readdirSync(join(WEB, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
const sources = [...within("src"), ...within("public"), ...readdirSync(WEB)].filter((path) => statSync(join(WEB, path)).isFile() && !path.endsWith("/schema.d.ts"));
const digest = (path) => createHash("sha256").update(readFileSync(join(WEB, path))).digest("hex");
writeFileSync(join(FOLDER, "sources.sha256"), sources.map((path) => `${digest(path)}  ${path}\n`).join(""));
