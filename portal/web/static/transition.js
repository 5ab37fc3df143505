// Verifies the transitions of the map: that each entry of a state log changes it by the instructions
// that the consent log gained, and by nothing else.
//
// A second implementation beside ledger/statemap: transition.py, map_replay.py, map_auditor.py and
// transition_auditor.py. The logs' entries are given whole, under checkpoints that were checked.
import { ProofError, canonical, equal, hex, isEvent, isObject, sha256, strict, unhex, required as want } from "./verify.js";

const HASH = 32, NUMBER = 8, RECORD = 2 * HASH, CHANGE = HASH + NUMBER + HASH;
const BASE = 0, CHANGES = 1, INSTRUCTION = 1; // the first bytes of records, and of an entry
const HEADER = "sovereign/transitions/v1\n";
const LARGEST = 1n << 30n, MAX_VERSION = 1n << 53n;
const ROOT_MEMBERS = ["map,root,size,type", "map,root,size,type,vrf"];
const encoder = new TextEncoder();

/** How many transitions were checked, and the first entry `since` which they were. Throws unless all
 *  are right. `states` and `consent`: {entries, head} of the logs; `file`: the transitions' bytes. */
export async function followed(states, consent, file) {
  const roots = await stateRoots(states.entries, consent);
  await wantRoot(states);
  await wantRoot(consent);
  const records = readTransitions(file), replay = started();
  let next = records.next().value, checked = 0, counted = 0;
  const since = next?.record[0] === BASE ? next.index + 1n : 0n;
  want(since <= BigInt(roots.length), "the transitions begin after the log");
  for (const [index, entry] of roots.entries()) {
    if (BigInt(index) < since - 1n) continue;
    for (; counted < entry.size; counted++) count(replay, consent.entries[counted]);
    const record = next?.index === BigInt(index) ? next.record : undefined;
    if (record !== undefined) next = records.next().value;
    if (BigInt(index) < since) await begin(replay, entry, readRecord(record));
    else await step(replay, entry, record?.length ? readRecord(record) : { changes: [] });
    checked += 1;
  }
  return { since: Number(since), checked };
}

/** The records of a file of transitions, one at a time, each with the number of its entry. */
export function* readTransitions(file) {
  const header = encoder.encode(HEADER);
  want(equal(file.slice(0, header.length), header), "this is no file of transitions");
  for (let at = header.length, last = -1n; at < file.length; ) {
    want(file.length - at >= 2 * NUMBER, "the file is cut off");
    const index = number(file, at), size = number(file, at + NUMBER);
    want(index > last && size <= LARGEST, "the file's records are out of order, or one is too long");
    at += 2 * NUMBER;
    const record = file.slice(at, at + Number(size));
    want(record.length === Number(size), "the file is cut off in a record");
    yield { index, record };
    [at, last] = [at + record.length, index];
  }
}

/** What a record says: the changed labels with version and digest, or the whole map as it was. */
export function readRecord(data) {
  const kind = data?.[0], size = kind === BASE ? RECORD : CHANGE;
  want([BASE, CHANGES].includes(kind) && (data.length - 1) % size === 0, "a record is malformed");
  const parts = [];
  for (let at = 1; at < data.length; at += size) parts.push(data.slice(at, at + size));
  const labels = parts.map((part) => hex(part.slice(0, HASH)));
  want(labels.every((label, at) => at === 0 || labels[at - 1] < label), "the labels do not ascend");
  if (kind === BASE) return { base: parts.map((part) => ({ label: part.slice(0, HASH), value: part.slice(HASH) })) };
  return { changes: parts.map(changeOf) };
}

function changeOf(part) {
  const version = number(part, HASH);
  want(version > 0n && version < MAX_VERSION, "a version is none");
  return { label: part.slice(0, HASH), version, stated: part.slice(HASH) }; // version and digest
}

const number = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at);

// The entries of a state log.

async function stateRoots(entries, consent) {
  const found = [], tree = frontier();
  for (const each of entries) {
    const entry = stateRoot(each), last = found.at(-1);
    const binds = last?.vrf === null && entry.vrf !== null;
    want(!last || entry.size >= last.size + (binds ? 0 : 1), "an entry names no larger size");
    want(!last?.vrf || equalOrNull(last.vrf, entry.vrf), "an entry names another key of the map");
    want(entry.size <= consent.entries.length, "an entry names more than the consent log has");
    for (const data of consent.entries.slice(tree.size, entry.size)) await grow(tree, data);
    want(equal(await rootOf(tree), entry.root), "an entry names another root of the consent log");
    found.push(entry);
  }
  return found;
}

const equalOrNull = (wanted, found) => found !== null && equal(wanted, found);

function stateRoot(data) {
  const value = strict(data);
  want(isObject(value) && ROOT_MEMBERS.includes(Object.keys(value).sort().join()), "an entry has other members");
  want(equal(encoder.encode(canonical(value)), data), "an entry is not in its canonical form");
  want(value.type === "state-root" && Number.isSafeInteger(value.size) && value.size >= 0, "no entry of a state log");
  const vrf = "vrf" in value ? unhex(value.vrf, HASH) : null;
  return { size: value.size, root: unhex(value.root, HASH), map: unhex(value.map, HASH), vrf };
}

async function wantRoot({ entries, head }) {
  want(entries.length === head.size, "the log has not as many entries as its checkpoint says");
  const tree = frontier();
  for (const each of entries) await grow(tree, each);
  want(equal(await rootOf(tree), head.root), "the entries do not hash to the signed root");
}

// The tree of a log, of which the roots of complete subtrees are kept.

const frontier = () => ({ size: 0, nodes: [] });

async function grow(tree, entry) {
  want(entry.length < 1 << 16, "an entry is too long");
  let node = await sha256(Uint8Array.of(0), entry);
  for (let complete = tree.size; complete % 2 === 1; complete = (complete - 1) / 2) {
    node = await sha256(Uint8Array.of(1), tree.nodes.pop(), node);
  }
  tree.nodes.push(node);
  tree.size += 1;
}

async function rootOf({ nodes }) {
  if (nodes.length === 0) return sha256();
  let node = nodes.at(-1);
  for (const left of nodes.slice(0, -1).reverse()) node = await sha256(Uint8Array.of(1), left, node);
  return node;
}

// The replay: the map, the versions of its labels (null: from before there were transitions), and
// how many instructions and announced erasures the consent log has so far.

const started = () => ({
  map: null, versions: new Map(), last: null, instructions: 0n, before: 0n, erasures: 0n, restarts: 0n,
});

function count(replay, entry) {
  if (entry[0] === INSTRUCTION) replay.instructions += 1n;
  else if (isErasure(entry.slice(1))) replay.erasures += 1n;
}

function isErasure(data) {
  try {
    const event = strict(data);
    isEvent(event);
    return event.type === "subject-erased" && equal(encoder.encode(canonical(event)), data);
  } catch (error) {
    if (error instanceof ProofError) return false;
    throw error;
  }
}

/** Starts from the map of an entry whose transitions were not recorded. */
async function begin(replay, entry, { base }) {
  for (const { label, value } of base) {
    await set(replay, label, value);
    replay.versions.set(hex(label), null);
  }
  await settle(replay, entry, "the map that the transitions start from has another root");
}

async function step(replay, entry, { base, changes }) {
  want(base === undefined, "an earlier map is given after transitions");
  const gain = { least: 0n, most: 0n };
  for (const { label, version } of changes) gained(replay, gain, replay.versions.get(hex(label)), version);
  const { last, instructions, before } = replay;
  if (last !== null && last.vrf === null && entry.vrf !== null && last.size > 0) {
    want(gain.most <= instructions, "an entry binds more instructions than the log has");
  } else {
    const grown = instructions - before;
    want(gain.least <= grown && grown <= gain.most, "the versions do not advance by the log's instructions");
  }
  for (const { label, version, stated } of changes) {
    await set(replay, label, await sha256(encoder.encode("sovereign/state/v2\0"), stated));
    replay.versions.set(hex(label), version);
  }
  await settle(replay, entry, "the map's root does not follow from the given changes");
}

/** By how much a version advances; a range, where the one before is not known. */
function gained(replay, gain, before, version) {
  if (before === null && version > 1n) {
    gain.least += 1n; // it had one at least
    gain.most += version;
  } else if (before !== null && version > (before ?? 0n)) {
    gain.least += version - (before ?? 0n);
    gain.most += version - (before ?? 0n);
  } else {
    gain.least += version;
    gain.most += version;
    replay.restarts += 1n;
    want(replay.restarts <= replay.erasures, "a history restarts, and no erasure was announced");
  }
}

async function settle(replay, entry, otherwise) {
  const root = replay.map === null ? await sha256() : await hashOf(replay.map);
  want(equal(root, entry.map), otherwise);
  [replay.last, replay.before] = [entry, replay.instructions];
}

// The map: a binary prefix tree in which every inner node has two children. A hash that is null is
// computed when it is asked for.

async function set(replay, label, value) {
  const leaf = { label, hash: await sha256(label, value) };
  if (replay.map === null) {
    replay.map = leaf;
    return;
  }
  let there = replay.map;
  while (there.children) there = there.children[bit(label, there.bit)];
  replay.map = put(replay.map, leaf, differing(label, there.label));
}

/** The tree with this leaf, whose label first differs at bit `at` from the one its search ends at. */
function put(node, leaf, at) {
  if (!node.children && at === 8 * HASH) return leaf;
  if (!node.children || node.bit > at) {
    const children = bit(leaf.label, at) === 0 ? [leaf, node] : [node, leaf];
    return { bit: at, children, hash: null };
  }
  const side = bit(leaf.label, node.bit);
  node.children[side] = put(node.children[side], leaf, at);
  node.hash = null;
  return node;
}

async function hashOf(node) {
  if (node.hash === null) {
    const [left, right] = node.children;
    node.hash = await sha256(await hashOf(left), await hashOf(right), Uint8Array.of(node.bit));
  }
  return node.hash;
}

function differing(one, other) {
  const place = one.findIndex((each, at) => each !== other[at]);
  return place < 0 ? 8 * HASH : 8 * place + Math.clz32(one[place] ^ other[place]) - 24;
}

const bit = (label, at) => (label[at >> 3] >> (7 - (at & 7))) & 1;
