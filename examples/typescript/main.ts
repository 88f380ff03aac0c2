// TypeScript without a build: Node takes the types away itself. The inputs are checked before they are used.
import { readFileSync, writeFileSync } from "node:fs";
import * as v from "valibot";

const Inputs = v.object({ city: v.string(), celsius: v.number() });
type Inputs = v.InferOutput<typeof Inputs>;

function fahrenheit({ celsius }: Inputs): number {
  return Math.round(celsius * 1.8 + 32);
}

const { version } = JSON.parse(readFileSync(new URL("node_modules/valibot/package.json", import.meta.url), "utf8"));
console.log(`valibot ${version} on Node ${process.version}`);

const given = v.safeParse(Inputs, JSON.parse(readFileSync(process.env.SKEP_INPUT!, "utf8")));
if (given.success) {
  console.log(`${given.output.city}: ${fahrenheit(given.output)} °F`);
  writeFileSync(process.env.SKEP_OUTPUT!, JSON.stringify({ fahrenheit: fahrenheit(given.output) }));
} else {
  console.log(`The inputs are wrong: ${given.issues.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`).join("; ")}`);
  process.exitCode = 2;
}
