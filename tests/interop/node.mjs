// Under Node: questions come one a line on standard input, answers go one a line to standard output.
//
//	node node.mjs MODULE …        MODULE: one of portal/web/static, in a folder whose files are modules
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { judge } from "./judge.mjs";

const modules = process.argv.slice(2).map((path) => import(pathToFileURL(path).href));
const verifier = Object.assign({}, ...(await Promise.all(modules)));
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await judge(verifier, JSON.parse(line))}\n`);
}
