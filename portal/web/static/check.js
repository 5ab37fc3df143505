// The page around verify.js: reads the receipt and the keys, shows the verdict. Nothing leaves it.
import { ProofError, verify } from "./verify.js";

const form = document.getElementById("check");
const receipt = document.getElementById("receipt"), keys = document.getElementById("keys");
const facts = document.getElementById("facts"), reason = document.getElementById("reason");

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
  const verdicts = { good: document.getElementById("good"), bad: document.getElementById("bad") };
  for (const each of Object.values(verdicts)) each.hidden = true;
  try {
    show(await verify(receipt.value, keys.value));
    verdicts.good.hidden = false;
    verdicts.good.focus();
  } catch (error) {
    if (!(error instanceof ProofError)) console.error(error);
    reason.textContent = error.message;
    verdicts.bad.hidden = false;
    verdicts.bad.focus();
  }
}

// An act by its name in the page's language.
function named(act) {
  return document.querySelector(`#acts [data-act="${CSS.escape(act)}"]`)?.textContent ?? act;
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
