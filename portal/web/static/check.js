// The page around verify.js: reads the receipt and the keys, shows the verdict. Nothing leaves it.
import { ProofError, verify } from "./verify.js";

const form = document.getElementById("check");
const receipt = document.getElementById("receipt"), keys = document.getElementById("keys");
const facts = document.getElementById("facts"), reason = document.getElementById("reason");
const reasons = document.getElementById("reasons").content;

form.hidden = false;
document.getElementById("without").hidden = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
document.getElementById("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) receipt.value = await file.text();
});
document.addEventListener("typed-again", () => receipt.value && check()); // in another language
const [, index, secret] = /^#([0-9]{1,15})(?:\.([\w-]{22,120}))?$/.exec(location.hash) ?? [];
if (secret) history.replaceState(null, "", location.pathname); // it was on paper; it stays there
if (index) {
  const body = new URLSearchParams({ index, secret });
  const answer = secret
    ? await fetch("/receipts", { method: "POST", body })
    : await fetch(`/customer/receipts/${index}`);
  if (answer.ok) receipt.value = await answer.text();
  if (answer.ok) check();
}

async function check() {
  const verdicts = ["good", "bad", "unread"].map((name) => document.getElementById(name));
  for (const each of verdicts) each.hidden = true;
  const verdict = document.getElementById(await verdictOn(receipt.value, keys.value));
  verdict.hidden = false;
  verdict.focus();
}

// What a browser cannot check, because it lacks an algorithm say, is not what it found to be wrong.
async function verdictOn(text, trusted) {
  try {
    show(await verify(text, trusted));
    return "good";
  } catch (error) {
    console.info(error.message);
    if (!(error instanceof ProofError)) return "unread";
    reason.textContent = explained(error);
    return "bad";
  }
}

// A reason in the page's language, with its facts filled in.
function explained({ reason: code, facts }) {
  const text = reasons.querySelector(`[data-reason="${CSS.escape(code)}"]`).textContent;
  return text.replaceAll(/\{(\w+)\}/g, (_, name) => {
    const fact = facts[name];
    return typeof fact === "number" ? fact.toLocaleString(document.documentElement.lang) : isolated(fact);
  });
}

// A name that may run the other way than the text around it (Unicode UAX 9).
const isolated = (name) => `\u2068${name}\u2069`;

// An act by its name in the page's language.
function named(act) {
  const names = document.getElementById("acts").content;
  return names.querySelector(`[data-act="${CSS.escape(act)}"]`)?.textContent ?? act;
}

function show(proven) {
  const { event, signer } = proven, act = event.act ?? event;
  const values = {
    who: event.subject ?? event.source ?? "",
    act: named(act.type),
    scene: act.scene ?? "",
    fields: act.fields?.join(", ") ?? "",
    at: event.at ?? "",
    place: `${proven.index} / ${proven.size}`,
    log: proven.origin,
    signer: signer ? `${signer.kind} ${signer.id}` : "",
    unchecked: proven.unchecked ? String(proven.unchecked) : "",
  };
  for (const [name, value] of Object.entries(values)) {
    const row = facts.querySelector(`[data-fact=${name}]`);
    row.querySelector("dd").textContent = value;
    row.hidden = value === "";
  }
  facts.querySelector("[data-fact=uncertain]").hidden = !event.time_uncertain;
}
