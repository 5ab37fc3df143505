// Documents come one a line in base64 on standard input; out goes the canonical text in base64, or
// "-" for what is refused:  node canonical.mjs MODULE     MODULE: portal/web/static/canonical.js
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { CanonicalError, format, parse } = await import(pathToFileURL(process.argv[2]).href);
const answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const text = format(parse(Uint8Array.from(Buffer.from(line, "base64"))));
    answers.push(Buffer.from(text, "utf8").toString("base64"));
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    answers.push("-");
  }
}
process.stdout.write(answers.map((each) => `${each}\n`).join(""));
