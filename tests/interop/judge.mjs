// Puts vectors, one a line on standard input, before the verifier that runs in the browser.
// A line is [kind, …]: ["receipt", text, keys] or ["inclusion", vector]. It answers 1 or 0 a line.
//
//	node judge.mjs VERIFIER        VERIFIER: portal/static/verify.js, under a name that ends in .mjs
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { included, verify } = await import(pathToFileURL(process.argv[2]).href);
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const judges = {
  receipt: (text, keys) => verify(text, keys),
  inclusion: (v) => included(bytes(v.leaf), v.index, v.size, bytes(v.root), v.proof.map(bytes)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [kind, ...rest] = JSON.parse(line);
  const said = await judges[kind](...rest).then(() => 1, () => 0);
  process.stdout.write(`${said}\n`);
}
