// Plain Node: makes a page of HTML from the Markdown that it is given.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { marked } from "marked";

const { version } = JSON.parse(readFileSync(new URL("node_modules/marked/package.json", import.meta.url)));
const { text = "# Bees" } = JSON.parse(readFileSync(process.env.SKEP_INPUT));
console.log(`marked ${version} on Node ${process.version}`);

const page = marked.parse(text);
process.stdout.write(page);
writeFileSync(join(process.env.SKEP_ARTIFACTS, "page.html"), page);
writeFileSync(process.env.SKEP_OUTPUT, JSON.stringify({ characters: page.length }));
