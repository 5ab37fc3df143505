// Verifies a receipt in the browser: a second implementation, sharing no code with the server.
//
// A receipt is a C2SP tlog-proof. It holds an event in clear, what opens its commitment, a path of
// hashes, and a signed checkpoint. `verify` recomputes the leaf, climbs to the root and checks the
// signature with WebCrypto. It returns what was proven or throws a ProofError; it asks nobody.
// WebCrypto knows no ML-DSA yet: signatures by keys that were not given, or are not Ed25519, are
// counted in `unchecked`, never silently passed over.
//
// An instruction that the customer's own key signed comes with signature and key: both are checked
// here, and the key is named. Whether it is the customer's, the receipt of its enrolment says.
import { CanonicalError, format, parse as parseJson } from "./canonical.js";

const HEADER = "c2sp.org/tlog-proof@v1";
const ED25519 = 1;
const HASH = 32, TAG = 24, SALT = 32, KEY_ID = 4;
const LONGEST = 1 << 20; // characters of a receipt
// The coordinates y of the points of small order, with those that are not reduced.
const SMALL_ORDER = new Set([
  "00".repeat(32), `01${"00".repeat(31)}`, ...["ec", "ed", "ee"].map((low) => `${low}${"ff".repeat(30)}7f`),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);
const encoder = new TextEncoder();

/** Why nothing is proven. `message`: in English, for programs and their logs. `reason`: a code, of
 *  which pages have texts in the reader's language, with `facts` to fill in. */
export class ProofError extends Error {
  constructor(reason, message, facts = {}) {
    super(message);
    Object.assign(this, { reason, facts });
  }
}

/** What `receipt` (text) proves under the Ed25519 verifier keys in `keys`, one vkey a line. After a
 *  vkey may stand the sizes of the log that the key may sign, FIRST and END (not included) or `*`. */
export async function verify(receipt, keys) {
  const parsed = readReceipt(receipt);
  const head = checkpoint(parsed.note.text);
  const checked = await signed(parsed.note, await readKeys(keys), head.origin);
  const signer = await proven(parsed, head);
  const unchecked = parsed.note.signatures.length - checked;
  return { ...head, index: parsed.index, event: parsed.extra.event, signer, unchecked };
}

/** Who signed an instruction: {id, kind, rp}. Throws unless `signer`, a key, made `signature`. */
export async function signedBy(extra) {
  isEvent(extra.event);
  return signerOf(extra);
}

/** RFC 9162, 2.1.3.2. Throws unless `leaf` is number `index` of the tree with this size and root. */
export async function included(leaf, index, size, root, path) {
  want([leaf, root, ...path].every((each) => each.length === HASH), "hash-size", "a hash is not 32 bytes long");
  want(index >= 0 && index < size, "outside-log", "the entry lies outside the log", { index, size });
  let at = index, last = size - 1, node = leaf;
  for (const sibling of path) {
    want(last > 0, "path-length", "the path is too long");
    if (at % 2 === 1 || at === last) {
      node = await sha256(Uint8Array.of(1), sibling, node);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      node = await sha256(Uint8Array.of(1), node, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  want(last === 0, "path-length", "the path is too short");
  want(equal(node, root), "other-root", "the entry is not under the signed root");
}

/** Throws unless the entry of the receipt is under `head`, which is signed; who signed the entry. */
async function proven({ extra, index, hashes }, head) {
  belongs(extra, head.origin);
  const signer = await signerOf(extra);
  const leaf = await sha256(Uint8Array.of(0), await entry(extra));
  await included(leaf, index, head.size, head.root, hashes);
  return signer;
}

function readReceipt(text) {
  want(text.length <= LONGEST, "too-long", "this is too long for a receipt", { most: LONGEST });
  const cut = text.indexOf("\n\n");
  want(cut > 0, "no-receipt", "this is not a receipt");
  const [header, extraLine, indexLine, ...hashLines] = text.slice(0, cut).split("\n");
  want(header === HEADER, "no-receipt", "this is not a receipt");
  want(extraLine?.startsWith("extra ") && indexLine?.startsWith("index "), "line-missing", "a line is missing");
  const raw = base64(extraLine.slice(6));
  const extra = json(raw);
  want(equal(encoder.encode(canonical(extra)), raw), "event-form", "the event is not in its canonical form");
  const hashes = hashLines.map(base64);
  want(hashes.every((each) => each.length === HASH), "hash-size", "a hash is not 32 bytes long");
  return { extra, hashes, index: decimal(indexLine.slice(6)), note: note(text.slice(cut + 2)) };
}

function note(text) {
  want(typeof text === "string", "checkpoint-malformed", "the checkpoint is no text");
  want(!/[\0-\x09\x0b-\x1f]|\p{Surrogate}/u.test(text), "checkpoint-malformed", "the checkpoint has a control character");
  const cut = text.lastIndexOf("\n\n");
  want(cut > 0 && text.endsWith("\n"), "checkpoint-unsigned", "the checkpoint is not signed");
  const lines = text.slice(cut + 2, -1).split("\n");
  const signatures = lines.map((line) => {
    const [dash, name, blob, ...rest] = line.split(" ");
    want(dash === "—" && name && blob && rest.length === 0, "signature-line", "a signature line is malformed");
    want(isName(name), "signature-line", "the name of a signature has a space or a plus");
    const bytes = base64(blob);
    want(bytes.length > KEY_ID, "signature-line", "a signature is cut off");
    return { name, id: bytes.slice(0, KEY_ID), signature: bytes.slice(KEY_ID) };
  });
  return { text: text.slice(0, cut + 1), signatures };
}

function checkpoint(text) {
  const [origin, size, root, ...rest] = text.split("\n");
  want(origin && size && root && rest.pop() === "" && rest.every((line) => line !== ""),
    "checkpoint-malformed", "the checkpoint is malformed");
  const head = { origin, size: decimal(size), root: base64(root) };
  want(head.root.length === HASH, "checkpoint-malformed", "the checkpoint has no root");
  return head;
}

/** Whether a text may name a key: as Python's str.isspace has it, it has no space; and no plus. */
const isName = (name) => !/[+\s\0-\x1f\x85]/u.test(name.replaceAll("\ufeff", ""));

async function readKeys(text) {
  const lines = text.split("\n").filter((line) => line !== "");
  const keys = await Promise.all(lines.map(readKey));
  const ids = new Set(keys.map(({ name, id }) => `${name}+${hex(id)}`));
  want(ids.size === keys.length, "key-twice", "a key stands twice");
  const usable = keys.filter((key) => key.type === ED25519);
  want(usable.length > 0, "key-none", "there is no Ed25519 key to check with");
  return usable;
}

async function readKey(text) {
  const [line, ...sizes] = words(text);
  want(line !== undefined, "key-malformed", "a key is missing");
  const key = await vkey(line);
  want(key.type !== ED25519 || key.raw.length === HASH, "key-malformed", "a key has another size than Ed25519's");
  want(key.type !== ED25519 || !smallOrder(key.raw), "key-weak", "a key is a point of small order");
  return { ...key, ...range(sizes) };
}

/** A key of any type, as its text names it: name, id, type and bytes. */
async function vkey(line) {
  const first = line.indexOf("+"), second = line.indexOf("+", first + 1);
  want(first > 0 && second > first, "key-malformed", "a key is malformed");
  const name = line.slice(0, first), bytes = base64(line.slice(second + 1));
  want(isName(name), "key-malformed", "the name of a key has a space");
  const id = (await sha256(encoder.encode(`${name}\n`), bytes)).slice(0, KEY_ID);
  want(hex(id) === line.slice(first + 1, second), "key-name", "a key does not match its own name");
  return { name, id, type: bytes[0], raw: bytes.slice(1) };
}

/** The words of a line, between spaces and tabs, as lines of policies have them. */
const words = (line) => line.split(/[ \t]/).filter((word) => word !== "");

/** The sizes that a key may sign: from `from`, below `end`. */
function range(sizes) {
  if (sizes.length === 0) return { from: 0, end: Infinity };
  want(sizes.length === 2, "key-malformed", "the sizes of a key are malformed");
  const from = count(sizes[0]), end = sizes[1] === "*" ? Infinity : count(sizes[1]);
  want(from < end, "key-malformed", "a key has no size that it may sign");
  return { from, end };
}

/** Whether an Ed25519 key is one of the points with which anybody signs anything. */
function smallOrder(key) {
  return SMALL_ORDER.has(hex(key.map((each, at) => (at === HASH - 1 ? each & 127 : each))));
}

/** How many signatures are good. Every key must have signed, each under the log's own name. */
async function signed(checked, keys, origin) {
  const { size } = checkpoint(checked.text);
  for (const key of keys) {
    want(key.name === origin, "other-log", "the key belongs to another log", { key: key.name, log: origin });
    want(key.from <= size && size < key.end, "key-retired", "the key may not sign at this size: it was retired", { size });
    const found = checked.signatures.filter((s) => s.name === key.name && equal(s.id, key.id));
    want(found.length === 1, "key-unsigned", "the key did not sign this checkpoint");
    const text = encoder.encode(checked.text);
    want(await ed25519(key.raw, found[0].signature, text), "signature-wrong", "the signature is wrong");
  }
  return keys.length;
}

async function ed25519(key, signature, message) {
  const known = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", known, signature, message);
}

/** The bytes of the log entry: the event itself, or a salted commitment to it. */
async function entry(extra) {
  const event = encoder.encode(canonical(extra.event));
  const names = Object.keys(extra).sort().join();
  if (names === "event") return join(Uint8Array.of(2), event);
  const opened = ["event,salt,tag", "event,salt,signature,signer,tag"].includes(names);
  want(opened, "opening", "the opening is malformed");
  const tag = unhex(extra.tag, TAG), salt = unhex(extra.salt, SALT);
  const digest = await sha256(encoder.encode("sovereign/entry/v1\0"), salt, event);
  return join(Uint8Array.of(1), tag, digest);
}

/** Throws unless it is an event of the profile, and one that may stand so in the log `origin`. */
function belongs(extra, origin) {
  isEvent(extra.event);
  const said = extra.event.type === "instruction";
  want(said === "tag" in extra, "opening", "instructions stand in the log as commitments, nothing else does");
  want(!said || extra.event.origin === origin, "instruction-log", "the instruction is for another log");
}

/** Throws unless it is an event of the profile: of some acts, with an evidence class of their own. */
function isEvent(event) {
  oneOf(EVENTS)(event);
  const companys = OF_THE_COMPANY.includes(event.act?.type);
  want(!companys || event.evidence === "D", "company-act", "only the company gives this act, with evidence class D");
}

// The profile of events: ledger/verify/event_profile.py says the same, in the same order.
const rule = (holds) => (value) => want(holds(value), "event-unknown", "the event is none of the profile");
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isText = (value) => typeof value === "string" && !/\p{Surrogate}/u.test(value);
const isTexts = (value) =>
  Array.isArray(value) && value.every(isText) && new Set(value).size === value.length;
const isTime = (value) =>
  isText(value) && /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) &&
  Number.isFinite(Date.parse(value)) &&
  new Date(value).toISOString() === value.replace("Z", ".000Z");
const isTree = (value, depth = 16) => depth > 0 && (
  isObject(value)
    ? Object.entries(value).every(([key, each]) => /^[\0-\x7f]*$/.test(key) && isTree(each, depth - 1))
    : Array.isArray(value)
      ? value.every((each) => isTree(each, depth - 1))
      : value === null || typeof value === "boolean" || isText(value) || Number.isSafeInteger(value)
);
const text = rule(isText), texts = rule(isTexts), time = rule(isTime);
const integer = rule(Number.isSafeInteger), body = rule((value) => isObject(value) && isTree(value));
const isNames = (value) => isTexts(value) && value.length > 0;
const names = rule(isNames), namesOrAll = rule((value) => value === null || isNames(value));
const until = rule((value) => value === null || (isTime(value) && value.endsWith(":00Z")));
const evidence = rule((value) => ["A", "B", "C", "D"].includes(value));
const bytes = (size) => (value) => {
  text(value);
  want(base64(value).length === size, "event-unknown", "the event is none of the profile");
};
const parts = (rules, optional = {}) => (value) => {
  want(isObject(value), "event-unknown", "the event is none of the profile");
  const there = Object.keys(optional).filter((name) => Object.hasOwn(value, name));
  const names = [...Object.keys(rules), ...there];
  want(Object.keys(value).sort().join() === names.sort().join(), "event-unknown", "the event has other parts");
  for (const name of names) (rules[name] ?? optional[name])(value[name]);
};
const oneOf = (kinds) => (value) => {
  want(isObject(value) && Object.hasOwn(kinds, value.type), "event-unknown", "the event is of no known type");
  parts({ type: text, ...kinds[value.type] }, OPTIONAL[value.type])(value);
};
// How a key of each algorithm begins, its size, and how it ends: ledger/events/customer_keys.py.
const FORMS = {
  ES256: ["3059301306072a8648ce3d020106082a8648ce3d03010703420004", 91, ""],
  EdDSA: ["302a300506032b6570032100", 44, ""],
  RS256: ["30820122300d06092a864886f70d01010105000382010f003082010a0282010100", 294, "0203010001"],
};
const truth = rule((value) => typeof value === "boolean");
const isOrigin = (value, rp) => {
  const [, scheme, host] = /^(https?):\/\/([a-z0-9.-]+)(?::[1-9][0-9]{0,4})?$/.exec(value) ?? [];
  const atHome = host === "localhost" || host?.endsWith(".localhost");
  return (scheme === "https" || atHome) && (host === rp || host.endsWith(`.${rp}`));
};
const formOf = (der) => {
  const found = hex(der);
  const fits = ([, [begins, size, ends]]) =>
    found.length === 2 * size && found.startsWith(begins) && found.endsWith(ends);
  const form = Object.entries(FORMS).find(fits);
  want(form !== undefined, "own-key", "the public key has no form of those that sign");
  want(form[0] !== "EdDSA" || !smallOrder(der.slice(-HASH)), "own-key-weak", "the public key has a small order");
  return form[0];
};
const customerKey = (value) => {
  KEY(value);
  want(formOf(base64(value.public)) === value.algorithm, "own-key", "a key of another algorithm");
  want(value.kind === "passkey" || value.algorithm === "EdDSA", "own-key", "no key of a browser");
  want(value.backup_eligible || !value.backed_up, "own-key", "backed up, though it cannot be");
  want(value.rp !== "" && value.origins.length > 0, "own-key", "nobody could ask the key to sign");
  want(value.origins.every((each) => isOrigin(each, value.rp)), "own-key", "a page outside the relying party");
};
const end = rule((value) => isTime(value) && value.endsWith(":00Z"));
const digest = bytes(HASH);
const TRIGGER = { scene: text, template: text, signal: text };
const GRANT = { scene: text, fields: names, until };
const ACTS = {
  "granted": GRANT,
  "withdrawn": { scene: text, fields: namesOrAll },
  "trigger-set": { ...TRIGGER, threshold: integer },
  "trigger-cleared": TRIGGER,
  "imported": { ...GRANT, source: text },
  "limited": GRANT,
  "source-deleted": {},
  "merged": { customer: text, silent: texts },
  "split": { customer: text },
  "renamed": { customer: text },
  "key-enrolled": { key: customerKey },
  "key-replaced": { old: digest, key: customerKey },
  "key-removed": { old: digest },
  "recovery-requested": { key: customerKey, proof: text, not_before: time },
  "recovery-cancelled": { request: digest },
  "key-recovered": { request: digest },
  "mandate-given": { key: customerKey, scenes: names, until: end },
  "mandate-ended": { mandate: digest },
};
const OF_THE_COMPANY = ["limited", "source-deleted", "merged", "split", "renamed"];
const KEY = parts({
  kind: rule((value) => ["passkey", "browser"].includes(value)),
  algorithm: rule((value) => Object.hasOwn(FORMS, value)),
  public: text, rp: text, origins: texts, backup_eligible: truth, backed_up: truth, attestation: text,
});
const OPTIONAL = { instruction: { mandate: digest, time_uncertain: rule((value) => value === true) }, "source-deleted": { into: text } };
const EVENTS = {
  "instruction": {
    origin: text, subject: text, seq: integer, prev: bytes(HASH), nonce: bytes(16), at: time,
    wording: parts({ locale: text, digest: bytes(HASH) }), evidence, act: oneOf(ACTS),
  },
  "scene-published": { scene: text, version: text, digest: text, at: time },
  "policy-published": { digest: text, at: time },
  "decision-policy-published": { digest: text, at: time },
  "service-registered": { service: text, key: text, at: time },
  "key-rotated": { origin: text, keys: texts, at: time },
  "signal-reported": { source: text, signal: text, value: integer, at: time },
  "budget-reserved": { scene: text, body, at: time },
  "synthetic-released": { release: text, scene: text, body, at: time },
  "read-log-opened": { origin: text, key: text, at: time },
  "read-log-anchored": { origin: text, size: integer, root: text, at: time },
  "read-log-closed": { origin: text, size: integer, root: text, at: time },
  "read-log-removed": { origin: text, at: time },
  "reads-kept": { days: integer, at: time },
  "subject-erased": { at: time },
  "entry-erased": { entry: integer, at: time },
  "manifest-published": { model: text, manifest: text, size: integer, at: time },
};

/** Who signed: {id, kind, rp}, or null if a session vouches. Throws unless the key did sign. */
async function signerOf({ event, signature, signer }) {
  const wanted = { A: "passkey", B: "browser" }[event.evidence];
  if (signature === undefined) {
    want(wanted === undefined || event.type !== "instruction", "own-unsigned", "the evidence says signed, nothing is");
    return null;
  }
  const { kind, algorithm, der, rp } = keyOf(signer);
  want(kind === wanted, "own-key-kind", "the evidence class is not the one of this kind of key");
  const given = signatureOf(signature), id = await sha256(der);
  want(equal(given.key, id), "own-key-other", "the signature names another key");
  want(given.type === kind, "own-key-kind", "the signature is of another kind than the key");
  const challenge = await sha256(
    encoder.encode("sovereign/instruction/v1\0"), encoder.encode(canonical(event)));
  const message = kind === "passkey"
    ? await asserted(given, rp, challenge)
    : join(encoder.encode("sovereign/browser-key/v1\0"), challenge);
  want(await good(algorithm, der, given.signature, message), "own-signature-wrong", "the customer's signature is wrong");
  return { id: hex(id), kind, rp: rp ?? "" };
}

function keyOf(signer) {
  want(isObject(signer), "own-signature", "the signer is malformed");
  const names = Object.keys(signer).sort().join();
  want(names === "public" || names === "public,rp", "own-signature", "the signer is malformed");
  want(Object.values(signer).every(isText), "own-signature", "the signer is malformed");
  const der = base64(signer.public), kind = "rp" in signer ? "passkey" : "browser";
  const algorithm = formOf(der);
  want(kind === "passkey" || algorithm === "EdDSA", "own-key", "no key of a browser");
  return { kind, algorithm, der, rp: signer.rp };
}

function signatureOf(value) {
  want(isObject(value), "own-signature", "the signature is malformed");
  const names = ["key", "signature", "type"];
  if (value.type === "passkey") names.push("authenticator_data", "client_data");
  else want(value.type === "browser", "own-signature", "the signature is of no known type");
  want(Object.keys(value).sort().join() === names.sort().join(), "own-signature", "the signature is malformed");
  const read = (name) => {
    want(isText(value[name]), "own-signature", "the signature is malformed");
    const found = base64(value[name]);
    want(found.length <= 16384, "own-signature", "a part of the signature is too long");
    return found;
  };
  const parts = names.filter((name) => name !== "type").map((name) => [name, read(name)]);
  const found = Object.fromEntries(parts);
  want(found.key.length === HASH, "own-key-other", "the signature names no key");
  return { ...found, type: value.type };
}

/** What an authenticator signed (WebAuthn, 7.2), if it was asked for this challenge by the page. */
async function asserted(given, rp, challenge) {
  const said = strict(given.client_data);
  want(isObject(said) && said.type === "webauthn.get", "passkey-purpose", "the passkey was asked for something else");
  const code = btoa(String.fromCharCode(...challenge));
  const wanted = code.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  want(said.challenge === wanted, "passkey-other", "the passkey signed another instruction");
  want(isText(said.origin) && isOrigin(said.origin, rp), "passkey-site", "signed on a page of another site");
  const framed = Object.hasOwn(said, "crossOrigin") && said.crossOrigin !== false;
  want(!framed && !Object.hasOwn(said, "topOrigin"), "passkey-frame", "signed in a frame inside another page");
  const data = given.authenticator_data;
  want(data.length >= 37, "passkey-data", "the authenticator's data is too short");
  want(equal(data.slice(0, HASH), await sha256(encoder.encode(rp))), "passkey-site", "signed for another site");
  const flags = data[HASH], has = (flag) => (flags & flag) !== 0;
  want(has(1) && has(4) && !has(64), "passkey-user", "the user was not verified, or a new key came along");
  want(has(128) === data.length > 37, "passkey-data", "the authenticator's data is malformed");
  want(has(8) || !has(16), "passkey-data", "backed up, though the key cannot be");
  return join(data, await sha256(given.client_data));
}

async function good(algorithm, der, signature, message) {
  const way = {
    ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    EdDSA: { name: "Ed25519" },
    RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  }[algorithm];
  const bytes = algorithm === "ES256" ? fixed(signature) : signature;
  try {
    const known = await crypto.subtle.importKey("spki", der, way, false, ["verify"]);
    return await crypto.subtle.verify(way, known, bytes, message);
  } catch {
    throw new ProofError("own-key", "the customer's public key is none");
  }
}

/** The two numbers of an ECDSA signature as WebCrypto has them; of DER only its one form counts. */
function fixed(der) {
  const [first, next] = whole(der, 2), [second, end] = whole(der, next);
  const framed = der[0] === 0x30 && der[1] === der.length - 2 && der.length < 130;
  want(framed && end === der.length, "own-signature", "the customer's signature is malformed");
  return join(first, second);
}

function whole(der, at) {
  const size = der[at + 1], bytes = der.slice(at + 2, at + 2 + size);
  const formed = der[at] === 2 && size > 0 && bytes.length === size && bytes[0] < 128;
  want(formed && !(size > 1 && bytes[0] === 0 && bytes[1] < 128), "own-signature", "the signature is malformed");
  const value = bytes[0] === 0 ? bytes.slice(1) : bytes;
  want(value.length <= HASH, "own-signature", "the customer's signature is malformed");
  return [join(new Uint8Array(HASH - value.length), value), at + 2 + size];
}

const canonical = (value) => strictly(() => format(value));
const strict = (bytes) => strictly(() => parseJson(bytes));

function strictly(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    throw new ProofError("json", `the event cannot be read: ${error.message}`);
  }
}

function json(bytes) {
  const value = strict(bytes);
  want(isObject(value) && Object.hasOwn(value, "event"), "event-missing", "there is no event");
  return value;
}

function decimal(text) {
  want(/^(0|[1-9][0-9]{0,15})$/.test(text), "number", "a number is malformed");
  want(Number.isSafeInteger(Number(text)), "number", "a number is beyond 2^53 - 1");
  return Number(text);
}

/** A number in a line of a policy: of at most 15 digits. */
function count(text) {
  want(text.length < 16, "number", "a number is too long");
  return decimal(text);
}

function base64(text) {
  try {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    want(btoa(String.fromCharCode(...bytes)) === text, "encoding", "base64 is not in its canonical form");
    return bytes;
  } catch (error) {
    if (error instanceof ProofError) throw error;
    throw new ProofError("encoding", "base64 is malformed");
  }
}

function unhex(text, size) {
  want(typeof text === "string" && text.length === 2 * size && /^[0-9a-f]*$/.test(text), "encoding", "hex is malformed");
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

const hex = (bytes) => Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
const equal = (a, b) => a.length === b.length && a.every((each, at) => each === b[at]);

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
}

function want(condition, reason, message, facts) {
  if (!condition) throw new ProofError(reason, message, facts);
}

/** The same in the modules that no page loads: their reasons are sentences without a code. */
const required = (condition, message) => want(condition, "", message);

// For the modules that verify what is no receipt: policies, states, transitions and evidence.
export {
  ED25519, base64, canonical, checkpoint, count, decimal, ed25519, entry, equal, hex, isEvent, isObject,
  isText, join, note, proven, readKeys, readReceipt, sha256, signatureOf, signed, signerOf, smallOrder,
  required, strict, unhex, vkey, words,
};
