// Has what was pressed signed by a key of the customer's own: section 12 of specs/portal.md.
//
// The portal drafts the instruction. It is signed only if its bytes are the one form of what they
// say, and if that is what was pressed, on the words that stand on this page and nowhere else.
import { base64, join, sha256, text, unbase64 } from "./bytes.js";
import { find } from "./browserkey.js";
import { CanonicalError, format, parse } from "./canonical.js";

const hand = document.getElementById("hand"), told = document.getElementById("unsigned");
const keys = hand ? parse(hand.dataset.keys) : [];
const PARTS = "act,at,evidence,nonce,origin,prev,seq,subject,type,wording";
const PRESSED =
  /^\/customer\/scenes\/([a-z0-9-]+)\/(?:(?:items\/(\w+)\/)?(allow|withdraw)|conditions\/\d+\/(set|clear))$/;
let passing = false, busy = false;

/** What the page and the instruction disagree on; nothing was signed. */
export class Differs extends Error {}

/** What the portal answered instead, in the reader's words. */
class Refused extends Error {}

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  const [, scene, item, wish, condition] = PRESSED.exec(submitter && new URL(submitter.formAction).pathname) ?? [];
  if (!scene || passing || keys.length === 0) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, submitter));
  const card = submitter.closest("[data-scene]"), shown = { words: sceneWords(card), version: body.get("version") };
  const expected = (act) => condition
    ? conditioned(scene, form, condition, body.get("figure"))
    : switched(scene, item, wish, offered(submitter, shown.words.items), act);
  const narrows = wish === "withdraw" || condition === "set";
  act(
    () => say(submitter.formAction, body, shown, (said) => want(same(said, expected(said)), "act")),
    narrows && (() => plainly(form, submitter)),
  );
});

/** Runs one signing at a time; afterwards the page is shown again, or says what went wrong. */
export async function act(signing, otherwise) {
  if (busy) return;
  busy = true;
  told.hidden = true;
  try {
    await signing();
    location.reload();
  } catch (error) {
    busy = false;
    if (otherwise) otherwise();
    else tell(error);
  }
}

/** Says it to the portal, and signs it if there is a key for that here. `only`: that key alone. */
export async function say(address, body, shown, agrees, only) {
  const using = await signer(only);
  if (hand && !using && address.includes("/scenes/")) throw new Error("no key is at hand");
  const reply = await post(address, body, using ? { "Sovereign-Evidence": using.evidence } : {});
  if (reply.status === 204) return;
  want(using, "draft");
  const bytes = new Uint8Array(await reply.arrayBuffer());
  const said = parse(bytes), whole = text(format(said));
  want(base64(whole) === base64(bytes), "form");
  await sameAsShown(said, using.evidence, shown);
  agrees(said.act);
  const challenge = await sha256(join(text("sovereign/instruction/v1\0"), whole));
  await post("/customer/signed", format(await using.sign(challenge)));
}

export async function post(address, body = "", headers = {}) {
  const reply = await fetch(address, { method: "POST", body, headers: { Accept: "application/json", ...headers } });
  if (reply.ok) return reply;
  const problem = await reply.json().catch(() => ({}));
  throw new Refused(problem.detail ?? "");
}

/** The words about an act on keys, as they stand in the page. */
export function actWords(name) {
  const said = { act: name, locale: document.documentElement.lang };
  for (const each of document.querySelectorAll(`#words-${name} [data-word]`)) said[each.dataset.word] = each.textContent;
  return said;
}

export const same = (one, other) => format(one) === format(other);

export function want(condition, what) {
  if (!condition) throw new Differs(what);
}

export function tell(error) {
  const { differs, silent } = told.dataset;
  const refused = error instanceof Refused && error.message;
  const unlike = error instanceof Differs || error instanceof CanonicalError;
  told.textContent = refused || (unlike ? differs : silent);
  told.hidden = false;
  told.focus();
}

function plainly(form, submitter) {
  passing = true;
  form.requestSubmit(submitter);
}

/** Every word that is signed, from the text of the page: portal/consent/wording.py says the same. */
function sceneWords(card) {
  const said = { locale: document.documentElement.lang, scene: card.dataset.scene, items: {}, services: [], triggers: [] };
  for (const each of card.querySelectorAll("[data-word]")) {
    const [name, part] = each.dataset.word.split("."), words = each.textContent;
    if (part) said[name][part] = words;
    else if (Array.isArray(said[name])) said[name].push(words);
    else said[name] = name === "days" ? Number(words.replace(/\D/g, "")) : words;
  }
  return said;
}

/** The items that the button allows: for a whole scene those that it names, which the words list. */
function offered(submitter, items) {
  const names = submitter.dataset.fields?.split(" ") ?? Object.keys(items);
  want(names.every((name) => Object.hasOwn(items, name)), "act");
  return names;
}

function switched(scene, item, wish, items, act) {
  if (wish === "withdraw") return { type: "withdrawn", scene, fields: item ? [item] : null };
  const allowed = (name) => document.getElementById(`${name}-allow`)?.ariaPressed === "true";
  const fields = item ? items.filter((name) => name === item || allowed(name)) : items;
  return { type: "granted", scene, fields, until: item && fields.length > 1 ? act.until : null };
}

function conditioned(scene, form, condition, figure) {
  const { template, signal, unit, threshold } = form.dataset;
  if (condition === "clear") return { type: "trigger-cleared", scene, template, signal };
  const hundredths = Math.round(Number((figure ?? "").replace(",", ".")) * 100);
  const set = figure === null ? Number(threshold) : Math.floor((hundredths * Number(unit)) / 100);
  return { type: "trigger-set", scene, template, signal, threshold: set };
}

async function sameAsShown(said, evidence, { words, version }) {
  const { time_uncertain, ...sure } = said; // only there while the log's clock is in doubt
  want([undefined, true].includes(time_uncertain), "parts");
  want(Object.keys(sure).join() === PARTS && said.type === "instruction", "parts");
  want(said.subject === hand.dataset.subject && said.origin === hand.dataset.log, "customer");
  want(said.evidence === evidence && said.seq === Number(version) + 1, "place");
  const digest = base64(await sha256(text(format(words))));
  want(same(said.wording, { locale: words.locale, digest }), "words");
}

/** The key to sign with: a passkey before the browser's own; undefined if none is at hand. */
export async function signer(only) {
  const usable = keys.filter((key) => !only || key.id === only);
  const passkeys = usable.filter((key) => key.kind === "passkey" && key.credential);
  if (passkeys.length > 0 && globalThis.PublicKeyCredential) {
    return { evidence: "A", sign: (challenge) => assertion(passkeys, challenge) };
  }
  for (const key of usable) {
    const found = key.kind === "browser" && (await find(key.id));
    if (found) return { evidence: "B", sign: (challenge) => signature(key, found, challenge) };
  }
}

async function signature(key, sign, challenge) {
  const signed = await sign(join(text("sovereign/browser-key/v1\0"), challenge));
  return { type: "browser", key: key.id, signature: signed };
}

async function assertion(passkeys, challenge) {
  const allowCredentials = passkeys.map(({ credential }) => ({ type: "public-key", id: unbase64(credential) }));
  const publicKey = { challenge, rpId: hand.dataset.party, allowCredentials, userVerification: "required" };
  const { id, response } = await navigator.credentials.get({ publicKey });
  return {
    type: "passkey",
    key: passkeys.find(({ credential }) => credential === id).id,
    authenticator_data: base64(response.authenticatorData),
    client_data: base64(response.clientDataJSON),
    signature: base64(response.signature),
  };
}
