// Adds up what a browser loads before the first page shows and fails beyond the budget of console.md.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 500;
const manifest = JSON.parse(readFileSync("dist/.vite/manifest.json", "utf8"));
const files = new Set();

function add(key) {
  const chunk = manifest[key];
  if (files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const sheet of chunk.css ?? []) files.add(sheet);
  for (const next of chunk.imports ?? []) add(next);
}

add("index.html");
for (const first of ["src/pages/overview/Overview.tsx", "src/locales/en.json", "src/frame/Frame.tsx"]) {
  if (manifest[first]) add(first);
}
const sizes = [...files].map((file) => [file, gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length / 1000]);
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
for (const [file, size] of sizes.sort((a, b) => b[1] - a[1])) console.log(`${size.toFixed(1).padStart(8)} kB  ${file}`);
console.log(`first load: ${total.toFixed(1)} kB gzip (limit ${LIMIT_KB})`);
process.exit(total > LIMIT_KB ? 1 : 0);
