// Under Node: questions come one a line on standard input, answers go one a line to standard output.
//
//	node node.mjs VERIFIER        VERIFIER: portal/web/static/verify.js, in a folder whose files are modules
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { judge } from "./judge.mjs";

const verifier = await import(pathToFileURL(process.argv[2]).href);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await judge(verifier, JSON.parse(line))}\n`);
}
