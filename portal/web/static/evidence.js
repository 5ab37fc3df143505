// Verifies evidence: a file that proves an instruction, its signer, and how they got their key.
//
// A second implementation beside ledger/verify/evidence.py and key_history.py. It needs the policies
// of the consent log and of its state log, with keys of any age, and asks nobody.
import { SESSION_ACTS, after, allowed, digestOf, documentOf, nobody } from "./authority.js";
import { cosignedAt, isBy, logKey, shortName, signedByAll, underCosigned, underPolicy } from "./policy.js";
import { newestState, provenLabel, readState } from "./state.js";
import {
  base64, canonical, checkpoint, entry as entryOf, equal, included, isEvent, isObject, note, proven,
  readReceipt, sha256, strict, unhex, required as want,
} from "./verify.js";

const TYPE = "sovereign-evidence/v1", HASH = 32;
const LONGEST = 1 << 26; // characters of an evidence file
const PARTS = "checkpoint,entries,kept,rotations,seq,state,type";
const FIRST = btoa("\0".repeat(HASH)); // `prev` of a first instruction
const SKEW = 300; // seconds between the clocks of a log and its witnesses
const COOLING_OFF = 72 * 3600; // seconds that a recovery waits
const encoder = new TextEncoder();

/** What an evidence file (text) says; nothing of it is verified yet. */
export function readEvidence(text) {
  want(text.length <= LONGEST, "this is too long for evidence");
  const value = strict(text);
  want(isObject(value) && Object.keys(value).sort().join() === PARTS, "this is no evidence file");
  want(`${canonical(value)}\n` === text, "the evidence is not in its canonical form");
  want(value.type === TYPE && Number.isSafeInteger(value.seq), "this is no evidence file");
  const signed = note(value.checkpoint);
  const entries = listed(value.entries, "extra,index,proof").map(({ extra, index, proof }) => {
    want(isObject(extra) && Object.hasOwn(extra, "event"), "an entry has no event");
    want(Number.isSafeInteger(index) && index >= 0, "an entry has no place");
    return { extra, index, hashes: hashes(proof), note: signed };
  });
  const rotations = listed(value.rotations, "proof,receipt").map(({ proof, receipt }) =>
    ({ receipt: readReceipt(textual(receipt)), path: hashes(proof) }));
  want(Array.isArray(value.kept), "the kept receipts are no list");
  const kept = value.kept.map((each) => readReceipt(textual(each)));
  return { seq: value.seq, entries, note: signed, state: readState(textual(value.state)), rotations, kept };
}

function listed(value, names) {
  want(Array.isArray(value), "a part of the evidence is no list");
  want(value.every((each) => isObject(each) && Object.keys(each).sort().join() === names), "other members");
  return value;
}

function hashes(value) {
  want(Array.isArray(value) && value.every((each) => typeof each === "string"), "a path is no list of texts");
  const found = value.map(base64);
  want(found.every((each) => each.length === HASH), "a hash is not 32 bytes long");
  return found;
}

function textual(value) {
  want(typeof value === "string", "a part of the evidence is no text");
  return value;
}

/** What the evidence (as it was read) proves under these policies (as they were read): about its
 *  instruction, the key that signed it, the steps that led to that key, and the latest state. */
export async function proves(evidence, policies) {
  const trust = { known: [...policies], before: [], followed: -1 };
  for (const each of evidence.rotations) await follow(trust, each);
  const head = await trusted(trust, evidence.note);
  for (const { receipt, path } of evidence.rotations) {
    const leaf = await sha256(Uint8Array.of(0), await entryOf(receipt.extra));
    await included(leaf, receipt.index, head.size, head.root, path);
  }
  const latest = await complete(evidence, trust, head);
  wantPast(evidence, trust);
  const known = await seen(evidence, trust);
  const times = new Map([...known].map(([index, { by }]) => [index, by]));
  const found = await replayed(evidence, head, times, latest);
  if (policyOf(trust, head.origin).quorum !== "none") wantWaits(evidence, known);
  return found;
}

// The history of the logs' keys.

async function follow(trust, { receipt }) {
  const { extra: { event }, index } = receipt, { origin, size } = checkpoint(receipt.note.text);
  isEvent(event);
  want(event.type === "key-rotated", "a rotation of keys is another event");
  want([origin, `${origin}/state`].includes(event.origin), "a rotation of another log's keys");
  want(index > trust.followed, "the rotations are not in the order of the log");
  trust.followed = index;
  const keys = await Promise.all(event.keys.map(logKey));
  want(keys.length > 0 && keys.every((key) => key.name === event.origin), "the new keys are named otherwise");
  const believed = policyOf(trust, origin);
  if (!signs(believed, receipt.note)) { // older than the policy
    trust.before.push({ ...believed, logs: keys });
    return;
  }
  await proven(receipt, await underPolicy({ ...believed, quorum: "none" }, receipt.note));
  if (event.origin === origin) await signedByAll(keys, receipt.note);
  believe(trust, origin, event.origin, keys, size);
}

/** Trusts `keys` for the log `name`. `size`: of the consent log when those before signed last. */
function believe(trust, origin, name, keys, size) {
  const believed = policyOf(trust, trust.known.some((each) => lists(each, name)) ? name : origin);
  const mine = name === origin ? believed.logs.filter((key) => key.name === name) : [];
  const ends = mine.map((key) => [shortName(key), { from: 0, end: size + 1 }]);
  trust.before.push({ ...believed, ranges: new Map([...ends, ...believed.ranges]) });
  const logs = [...believed.logs.filter((key) => key.name !== name), ...keys];
  trust.known[trust.known.indexOf(believed)] = { ...believed, logs };
}

const lists = (policy, name) => policy.logs.some((key) => key.name === name);
const signs = ({ logs }, { signatures }) => signatures.some((each) => logs.some((key) => isBy(key, each)));

function policyOf(trust, name) {
  const found = trust.known.find((each) => lists(each, name));
  want(found !== undefined, "no given policy lists the log");
  return found;
}

const trusted = (trust, signedNote) =>
  underPolicy(policyOf(trust, checkpoint(signedNote.text).origin), signedNote);

/** The checkpoint of a note, signed by the keys of any time; and when witnesses cosigned it. */
async function trustedThen(trust, signedNote) {
  const policy = [...trust.known, ...trust.before].find((each) => signs(each, signedNote));
  if (policy === undefined) return { head: await trusted(trust, signedNote), times: [] };
  return { head: await underCosigned(policy, signedNote), times: cosignedAt(policy, signedNote) };
}

// The history of the customer.

/** The latest state. Throws unless the entries are all instructions that led to it. */
async function complete({ seq, entries, state }, trust, head) {
  want(seq >= 1 && seq <= entries.length, "it is about an instruction that it does not have");
  for (const each of entries) await proven(each, head);
  const events = entries.map(({ extra }) => extra.event), [{ subject }] = events;
  want(events.every((each) => each.type === "instruction"), "an entry is a public act");
  want(entries.every(({ index }, at) => at === 0 || entries[at - 1].index < index), "not in the log's order");
  want(events.every((each) => each.subject === subject), "entries of more than one customer");
  const states = await trusted(trust, state.note);
  want(states.origin === `${head.origin}/state`, "the state is in another log");
  const map = [...trust.known, ...trust.before].find((each) => each.maps.has(states.origin));
  want(map !== undefined, "no given policy has the key of the map's labels");
  const texts = events.map((each) => encoder.encode(canonical(each)));
  const label = await provenLabel(state, subject, map.maps.get(states.origin), texts[0]);
  const latest = await newestState(state, states, label);
  const { size, root } = state.entry;
  want(size === head.size && equal(unhex(root, HASH), head.root), "the state is of another size of the log");
  const digests = [FIRST, ...(await Promise.all(texts.map(digestOf)))];
  const chained = events.every((each, at) => each.seq === at + 1 && each.prev === digests[at]);
  want(chained, "an instruction does not follow the one before");
  want(latest?.seq === events.length && latest.head === digests.at(-1), "the state knows other instructions");
  return latest;
}

/** Throws if an instruction claims a time after the witnesses' cosignatures. */
function wantPast({ entries, note: signed }, trust) {
  const times = cosignedAt(policyOf(trust, checkpoint(signed.text).origin), signed);
  if (times.length === 0) return;
  const last = Math.min(...times) + SKEW, past = ({ extra }) => Date.parse(extra.event.at) / 1000 <= last;
  want(entries.every(past), "witnesses saw an instruction before its time");
}

/** By the place of an entry: when witnesses had seen it, and the sizes and times at which they saw
 *  it later, for those of which receipts were kept. */
async function seen({ entries, kept }, trust) {
  const bytes = new Map(), found = new Map();
  for (const { index, extra } of entries) bytes.set(index, await entryOf(extra));
  for (const each of kept) {
    const there = bytes.get(each.index);
    want(there && equal(there, await entryOf(each.extra)), "a kept receipt is of no entry of the evidence");
    const { head, times } = await trustedThen(trust, each.note);
    await proven(each, head);
    want(times.length > 0, "no witness cosigned a kept receipt");
    const at = Math.min(...times), before = found.get(each.index) ?? { by: Math.max(...times), later: [] };
    const last = before.later.at(-1);
    const newer = !last || head.size > last.size || (head.size === last.size && at > last.at);
    want(newer, "a kept receipt is not newer than the one before");
    before.later.push({ size: head.size, at });
    found.set(each.index, before);
  }
  return found;
}

/** Throws unless witnesses saw 72 hours pass between the request and the end of each recovery. */
function wantWaits({ entries }, known) {
  let request;
  for (const { extra: { event: { act } }, index } of entries) {
    if (act.type === "recovery-requested") request = index;
    if (act.type !== "key-recovered" || request === undefined) continue;
    const seenThen = known.get(request);
    const later = (seenThen?.later ?? []).filter(({ size }) => size <= index).map(({ at }) => at);
    const waited = later.length === 0 ? 0 : Math.max(...later) - seenThen.by;
    want(waited >= COOLING_OFF - SKEW, "witnesses did not see the waiting time of a recovery pass");
  }
}

/** Applies all rules to the whole history, in order. */
async function replayed({ seq, entries, state }, head, times, latest) {
  let authority = nobody();
  const given = [], triggers = new Map();
  for (const { extra: { event, signature }, index } of entries) {
    const key = await allowed(authority, event, signature, narrows(triggers, event.act));
    given.push({ event, index, key, by: broughtBy(event, key, authority) });
    settle(triggers, event.act);
    authority = await after(authority, event, await digestOf(encoder.encode(canonical(event))), index);
  }
  const signers = ["keys", "mandates", "recovery"].filter((name) => Object.hasOwn(latest, name));
  const shown = Object.fromEntries(signers.map((name) => [name, latest[name]]));
  want(canonical(shown) === canonical(documentOf(authority)), "the state shows other keys than were brought");
  const asked = given[seq - 1], steps = [];
  for (let each = asked; each; each = given.find(({ index }) => index === each.by)) {
    const { event: { seq: number, at, act }, index, key } = each;
    steps.push({ seq: number, index, at, act: act.type, key: key?.id ?? null, seen: times.get(index) ?? null });
  }
  const { event: instruction, index, key } = asked, mapKey = state.entry.vrf ?? null;
  return { head, instruction, index, key, steps, latest, mapKey };
}

const trigger = ({ scene, template, signal }) => canonical([scene, template, signal]);

function narrows(triggers, act) {
  if (act.type !== "trigger-set") return SESSION_ACTS.includes(act.type);
  return [undefined, act.threshold].includes(triggers.get(trigger(act)));
}

function settle(triggers, act) {
  if (act.type === "trigger-set") triggers.set(trigger(act), act.threshold);
  if (act.type === "trigger-cleared") triggers.delete(trigger(act));
}

/** The place of the entry that made the key of this instruction active; undefined: a session. */
function broughtBy({ act, mandate }, key, { keys, recovery, mandates }) {
  if (act.type === "key-recovered") return recovery.index;
  if (key === null) return undefined;
  return mandate === undefined ? keys.get(key.id).index : mandates.get(mandate).index;
}
