// The page of keys: makes one, has an older one sign for it, and hands mandates out.
import { join, text, unbase64, base64 } from "./bytes.js";
import { make } from "./browserkey.js";
import { act, actWords, post, same, say, want } from "./sign.js";
import { parse } from "./canonical.js";

const version = document.getElementById("version")?.value;
const acts = { enrol: "key-enrolled", replace: "key-replaced", recover: "recovery-requested" };
const ways = {
  passkey: Boolean(globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON),
  browser: Boolean(globalThis.crypto?.subtle && globalThis.indexedDB),
};

for (const button of document.querySelectorAll("button[data-make]")) {
  button.hidden = !ways[button.dataset.make];
  button.addEventListener("click", () => act(() => added(button.dataset)));
}
for (const form of document.querySelectorAll("form[data-signs]")) {
  form.addEventListener("submit", (event) => {
    if (!document.getElementById("hand")) return;
    event.preventDefault();
    act(() => handed(form));
  });
}

/** A new key: made here, believed by the portal once it can sign, signed for by an older one. */
async function added({ make: kind, purpose, old = "", name = "", words }) {
  const { challenge, ...options } = await (await post("/customer/keys/options", new URLSearchParams({ purpose }))).json();
  const made = await (kind === "passkey" ? passkey({ challenge, ...options }) : browserKey(challenge));
  const body = JSON.stringify({ kind, purpose, old, words, version, ...made.sent });
  const shown = { words: actWords(acts[purpose]), version };
  const agrees = (said) => {
    want(said.type === acts[purpose] && said.key.public === made.public && said.key.kind === kind, "act");
    want(purpose !== "replace" || said.old === name, "act");
  };
  await (purpose === "recover" ? post("/customer/keys", body) : say("/customer/keys", body, shown, agrees, name || undefined));
}

async function passkey(options) {
  const made = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  return { public: base64(made.response.getPublicKey()), sent: { made: made.toJSON() } };
}

async function browserKey(challenge) {
  const key = await make();
  const proof = await key.sign(join(text("sovereign/browser-key-made/v1\0"), unbase64(challenge)));
  return { public: key.public, sent: { public: key.public, proof } };
}

/** A form that one signs: a key removed, a mandate given. */
async function handed(form) {
  const body = new URLSearchParams(new FormData(form)), name = form.dataset.signs;
  const shown = { words: actWords(name), version: body.get("version") };
  const expected = name === "key-removed"
    ? { type: name, old: form.dataset.name }
    : { type: name, key: parse(body.get("key").trim()), scenes: body.getAll("scene"), until: `${body.get("until")}T00:00:00Z` };
  await say(form.action, body, shown, (said) => want(same(said, expected), "act"));
}
