// What an agent may say to Skep, for Node: import { ask } from "/opt/skep/lib/skep.mjs"
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;
const asked = new Map();

/** The question was refused; `code` is the reason in one word, `question_expired` when nobody answered in time. */
export class AskError extends Error {
  constructor(message, code) {
    super(message);
    this.name = "AskError";
    this.code = code;
  }
}

/** Ask a person and return the answer, however long that takes; the run's time limit stands still meanwhile. */
export async function ask(text, { key, choices, schema, timeout_s } = {}) {
  if (!process.env.SKEP_URL) throw new AskError("Nobody can be asked here: this is no run of Skep.", "no_run");
  const question = { key: key ?? defaultKey(text), text };
  if (choices !== undefined) question.choices = choices;
  if (schema !== undefined) question.schema = schema;
  const until = timeout_s === undefined ? undefined : Date.now() + timeout_s * 1000;
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
    if (until !== undefined) {
      question.timeout_s = (until - Date.now()) / 1000;
      if (question.timeout_s <= 0) throw new AskError("Nobody answered in time.", "question_expired");
    }
    const began = Date.now();
    const { status, said } = await post(JSON.stringify(question), until).catch(() => ({ status: 503, said: {} }));
    if (status === 200) return said.answer;
    if (status !== 429 && status !== 503) throw new AskError([said.message, said.hint].filter(Boolean).join(" "), said.code);
    // A connection that held for long broke with a server; what is refused at once is tried ever more slowly.
    if (Date.now() - began > 1000) wait = FIRST_PAUSE_MS;
    await pause(wait);
  }
}

/** Return the inputs of this run. */
export function inputs() {
  return JSON.parse(readFileSync(process.env.SKEP_INPUT, "utf8"));
}

/** Make *value* the result of this run; the last one counts. */
export function output(value) {
  const path = process.env.SKEP_OUTPUT;
  writeFileSync(`${path}.new`, JSON.stringify(value));
  renameSync(`${path}.new`, path);
}

function defaultKey(text) {
  const ordinal = (asked.get(text) ?? 0) + 1;
  asked.set(text, ordinal);
  return createHash("sha256").update(`${text}\0${ordinal}`).digest("hex");
}

// `fetch` gives up on an answer after five minutes; this waits for ever, or until the moment `until`.
function post(body, until) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request({ host: "127.0.0.1", port: 80, path: "/ask", method: "POST", headers, agent: false });
    const timer = until && setTimeout(() => sent.destroy(new Error("time is up")), Math.max(0, until - Date.now()));
    sent.on("close", () => clearTimeout(timer));
    sent.on("error", reject);
    sent.on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece) => (text += piece));
      answer.on("error", reject);
      answer.on("end", () => {
        try {
          resolve({ status: answer.statusCode, said: JSON.parse(text) });
        } catch (error) {
          reject(error);
        }
      });
    });
    sent.end(body);
  });
}
