// Verifies a state proof: the latest state of a customer in the map, or that the map has none.
//
// A second implementation beside ledger/statemap/map_proof.py. The label in the map is computed from
// the customer's id by a verifiable random function (vrf.js), so one id has one label.
import { CanonicalError, format, parse as parseJson } from "./canonical.js";
import {
  ProofError, base64, checkpoint, count, decimal, equal, hex, included, join, note, readKeys, sha256, signed,
  unhex, required as want, words,
} from "./verify.js";
import { VrfError, output } from "./vrf.js";

const HEADER = "c2sp.org/tlog-proof@v1";
const LONGEST = 1 << 20; // characters of a proof
const HASH = 32, STEP = 33, MAX_HASHES = 63;
const encoder = new TextEncoder();

/** The state of the customer `subject` that `proof` (text) proves, null if it proves that there is
 *  none. `keys`: Ed25519 keys of the state log, one a line; each must have signed. `mapKey`: the line
 *  `vrf ORIGIN KEY SINCE` of the state log's policy. */
export async function latestState(proof, subject, keys, mapKey) {
  const read = readState(proof), head = checkpoint(read.note.text);
  await signed(read.note, await readKeys(keys), head.origin);
  const label = await provenLabel(read, subject, trusted(mapKey, head.origin));
  return newestState(read, head, label);
}

/** The state at `label` under `head`, which is signed; null: the proof shows that there is none. */
export async function newestState({ entry, extra, index, hashes }, head, label) {
  want(index === head.size - 1, "the proof is not of the newest entry");
  const leaf = await sha256(Uint8Array.of(0), encoder.encode(format(entry)));
  await included(leaf, index, head.size, head.root, hashes);
  const inside = base64(extra.proof);
  const value = "state" in extra ? await valueOf(extra, inside.slice(HASH, 2 * HASH)) : null;
  await inMap(inside, label, value, unhex(entry.map, HASH));
  return value === null ? null : extra.state;
}

/** What a state proof says, verified in nothing. */
export function readState(text) {
  want(text.length <= LONGEST, "this is too long for a state proof");
  const cut = text.indexOf("\n\n");
  want(cut > 0, "this is not a state proof");
  const [header, extraLine, indexLine, ...hashLines] = text.slice(0, cut).split("\n");
  want(header === HEADER && hashLines.length <= MAX_HASHES, "this is not a state proof");
  want(extraLine?.startsWith("extra ") && indexLine?.startsWith("index "), "a line is missing");
  const raw = base64(extraLine.slice(6)), extra = strict(raw);
  want(equal(encoder.encode(format(extra)), raw), "the extra data is not in its canonical form");
  members(extra, ["entry", "proof"], [["vrf"], ["salt", "state"]]);
  const { entry } = extra;
  members(entry, ["map", "root", "size", "type"], [["vrf"]]);
  want(entry.type === "state-root" && Number.isSafeInteger(entry.size) && entry.size >= 0,
    "the entry is none of a state log");
  for (const name of ["map", "root", "vrf"]) if (name in entry) unhex(entry[name], HASH);
  const index = decimal(indexLine.slice(6)), hashes = hashLines.map(base64);
  return { entry, extra, index, hashes, note: note(text.slice(cut + 2)) };
}

/** Throws unless the object has these members, and of each group all or none. */
function members(value, names, groups) {
  want(isObject(value), "a part is no object");
  const there = groups.filter((group) => group.some((name) => Object.hasOwn(value, name))).flat();
  want(Object.keys(value).sort().join() === [...names, ...there].sort().join(), "other members");
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function strict(bytes) {
  try {
    return parseJson(bytes);
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    throw new ProofError("", `the extra data cannot be read: ${error.message}`);
  }
}

function trusted(line, origin) {
  const [word, name, key, since, ...rest] = words(line);
  want(word === "vrf" && since !== undefined && rest.length === 0, "the map's key is malformed");
  want(name === origin, "the map's key is of another log");
  return { key: unhex(key, HASH), since: count(since) };
}

/** The label of the customer under the key `map`. `first`: the bytes of their first instruction,
 *  which lead to the label in a map that is not bound yet; without them that is refused. */
export async function provenLabel({ entry, extra, index }, subject, map, first) {
  const isOther = "state" in extra && !(isObject(extra.state) && extra.state.subject === subject);
  want(!isOther, "the state is of another customer");
  if (index < map.since) {
    const unbound = first && !("vrf" in entry) && !("vrf" in extra);
    want(unbound, "the map was not bound to the customers' ids yet");
    return sha256(encoder.encode("sovereign/label/v1\0"), await sha256(first));
  }
  want(entry.vrf === hex(map.key), "the entry names another key of the map's labels, or none");
  want(typeof extra.vrf === "string", "the map's label is not proven to be that of the customer");
  const input = encoder.encode(`sovereign/label/v2\0${subject}`);
  try {
    return (await output(map.key, input, base64(extra.vrf))).slice(0, HASH);
  } catch (error) {
    if (!(error instanceof VrfError)) throw error;
    throw new ProofError("", `the map's label is not that of the customer: ${error.message}`);
  }
}

/** The value of the state in the map, which must be `found`: it names the state's version, or is the
 *  digest alone, if the customer gave no instruction since values name versions. */
async function valueOf(extra, found) {
  want(isObject(extra.state), "the state is no object");
  const { seq } = extra.state;
  want(Number.isSafeInteger(seq) && seq > 0, "the state has no version");
  const salt = unhex(extra.salt, HASH), state = encoder.encode(format(extra.state));
  const digest = await sha256(encoder.encode("sovereign/state/v1\0"), salt, state);
  const version = new Uint8Array(8);
  new DataView(version.buffer).setBigUint64(0, BigInt(seq));
  const value = await sha256(encoder.encode("sovereign/state/v2\0"), version, digest);
  want(equal(found, value) || equal(found, digest), "the proof is for another value");
  return found;
}

/** Throws unless the map with this root has `value` at `label`; null: has none there. */
async function inMap(proof, label, value, root) {
  if (proof.length === 0) {
    want(value === null && equal(root, await sha256()), "the map is not empty");
    return;
  }
  want(proof.length >= 2 * HASH && (proof.length - 2 * HASH) % STEP === 0, "the map proof is cut off");
  const there = proof.slice(0, HASH), found = proof.slice(HASH, 2 * HASH);
  want(equal(there, label) === (value !== null), "the proof is for another label");
  want(value === null || equal(found, value), "the proof is for another value");
  let node = await sha256(proof.slice(0, 2 * HASH)), below = 256;
  for (let at = 2 * HASH; at < proof.length; at += STEP) {
    const number = proof[at], sibling = proof.slice(at + 1, at + STEP);
    want(number < below, "the bits of the siblings do not decrease towards the root");
    const side = bit(label, number);
    want(side === bit(there, number), "the search does not lead to this leaf");
    const both = side === 1 ? [sibling, node] : [node, sibling];
    node = await sha256(join(...both), Uint8Array.of(number));
    below = number;
  }
  want(equal(node, root), "the leaf is not under this root");
}

const bit = (label, at) => (label[at >> 3] >> (7 - (at & 7))) & 1;
