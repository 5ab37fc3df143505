// Who may sign for a customer: active keys, a pending recovery, mandates (specs/instruction.md).
//
// A second implementation beside ledger/events/authority.py. Keys, requests and mandates are named by
// base64 of a SHA-256, as in events. Functions return a new authority, and change none.
import { base64, isObject, sha256, signatureOf, signerOf, strict, required as want } from "./verify.js";

const COOLING_OFF = 72 * 3600 * 1000; // from the request of a recovery to its end, in ms
const MOST = 20; // active keys; and mandates
const ELIGIBLE = 8; // a flag of the authenticator: the key may be backed up
// A session suffices for these, whatever keys the customer has: they narrow, or start a delay.
export const SESSION_ACTS = [
  "withdrawn", "limited", "trigger-set", "recovery-requested", "recovery-cancelled", "key-recovered",
  "mandate-ended", "source-deleted", "merged", "split", "renamed",
];

export const nobody = () => ({ keys: new Map(), recovery: null, mandates: new Map() });

export const digestOf = async (bytes) => btoa(String.fromCharCode(...(await sha256(bytes))));

/** The key that signed the instruction, null if a session vouches for it. Throws unless the
 *  customer's authority allows it. `narrows`: whether it only takes permission away. */
export async function allowed(authority, instruction, signature, narrows) {
  await wantSense(authority, instruction);
  if (signature === undefined) {
    want(!["A", "B"].includes(instruction.evidence), "the evidence says signed, nothing is");
    want(!("mandate" in instruction), "an instruction under a mandate is not signed");
    want(authority.keys.size === 0 || narrows, "it widens what is allowed, and no key signed it");
    return null;
  }
  const { act } = instruction, named = btoa(String.fromCharCode(...signatureOf(signature).key));
  const key = signing(authority, instruction, named);
  await signedWith(instruction, signature, key);
  want(act.type !== "key-replaced" || act.old === named, "not signed by the key that is replaced");
  return key;
}

function signing({ keys, mandates }, { act, at, mandate }, named) {
  if (mandate === undefined) {
    want(keys.has(named), "signed by a key that is none of the customer's");
    return keys.get(named).key;
  }
  const given = mandates.get(mandate);
  want(given !== undefined, "the mandate is not active");
  want(given.scenes.includes(act.scene), "the mandate is for other scenes");
  want(at < given.until, "the mandate had ended");
  want(given.key.id === named, "signed by another key than the mandated one");
  return given.key;
}

async function signedWith(event, signature, key) {
  const passkey = key.kind === "passkey", signer = { public: key.public, ...(passkey && { rp: key.rp }) };
  await signerOf({ event, signature, signer });
  if (!passkey) return;
  const said = strict(base64(signature.client_data)), flags = base64(signature.authenticator_data)[32];
  want(isObject(said) && key.origins.includes(said.origin), "signed on a page that the key was not enrolled for");
  const eligible = (flags & ELIGIBLE) !== 0;
  want(eligible === key.backup_eligible, "the key may be backed up, or not, unlike at its enrolment");
}

/** Throws if an act on keys does not fit the current keys, whoever signs it. */
async function wantSense({ keys, recovery, mandates }, { act, at }) {
  if ("key" in act && act.type !== "mandate-given") want(!keys.has(await idOf(act.key)), "the key is already active");
  if (act.type === "key-enrolled") want(keys.size < MOST, "too many keys are active");
  if ("old" in act) want(keys.has(act.old), "the old key is not active");
  if (act.type === "recovery-requested") {
    want(keys.size > 0 && recovery === null, "there is nothing to recover, or a recovery is pending");
    want(Date.parse(act.not_before) - Date.parse(at) >= COOLING_OFF, "the recovery does not wait");
  }
  if (act.type === "recovery-cancelled" || act.type === "key-recovered") {
    want(recovery?.request === act.request, "the recovery is not pending");
    want(act.type === "recovery-cancelled" || at >= recovery.notBefore, "the recovery ends too early");
  }
  if (act.type === "mandate-given") {
    want(act.scenes.length > 0 && act.until > at, "a mandate without scenes, or that has ended");
    want(mandates.size < MOST, "too many mandates are active");
  }
  if (act.type === "mandate-ended") want(mandates.has(act.mandate), "the mandate is not active");
}

/** The authority after an instruction that was allowed: `digest` names it, `index` is its place. */
export async function after({ keys, recovery, mandates }, { act }, digest, index) {
  const key = "key" in act ? { ...act.key, id: await idOf(act.key) } : null;
  const enrolled = key && [[key.id, { key, index }]];
  const without = (members, name) => [...members].filter(([each]) => each !== name);
  switch (act.type) {
    case "key-enrolled": return { keys: new Map([...keys, ...enrolled]), recovery, mandates };
    case "key-replaced": return { keys: new Map([...without(keys, act.old), ...enrolled]), recovery, mandates };
    case "key-removed": return { keys: new Map(without(keys, act.old)), recovery, mandates };
    case "recovery-requested":
      return { keys, recovery: { request: digest, key, notBefore: act.not_before, index }, mandates };
    case "recovery-cancelled": return { keys, recovery: null, mandates };
    case "key-recovered": // a finder of the lost keys may have given the mandates
      return { ...nobody(), keys: new Map([[recovery.key.id, { key: recovery.key, index }]]) };
    case "mandate-given": {
      const given = { key, scenes: act.scenes, until: act.until, index };
      return { keys, recovery, mandates: new Map([...mandates, [digest, given]]) };
    }
    case "mandate-ended": return { keys, recovery, mandates: new Map(without(mandates, act.mandate)) };
    default: return { keys, recovery, mandates };
  }
}

/** The members of the state document that say who may sign, each only if there are any. */
export function documentOf({ keys, recovery, mandates }) {
  const byIndex = (one, other) => one.index - other.index;
  const enrolled = [...keys].map(([key, { index }]) => ({ index, key })).sort(byIndex);
  const given = [...mandates].map(([mandate, { key, index, scenes, until }]) =>
    ({ index, key: key.id, mandate, scenes: [...scenes].sort(inOrder), until })).sort(byIndex);
  const { index, key, notBefore, request } = recovery ?? {};
  return {
    ...(enrolled.length > 0 && { keys: enrolled }),
    ...(given.length > 0 && { mandates: given }),
    ...(recovery && { recovery: { index, key: key.id, not_before: notBefore, request } }),
  };
}

/** The order of characters, not of the halves that JavaScript sorts by. */
function inOrder(one, other) {
  const [a, b] = [one, other].map((text) => [...text].map((each) => each.codePointAt(0)));
  const at = a.findIndex((each, place) => each !== b[place]);
  return at < 0 ? a.length - b.length : a[at] - (b[at] ?? -1);
}

const idOf = (key) => digestOf(base64(key.public));
