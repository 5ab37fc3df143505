// Reads a policy (C2SP tlog-policy, with our lines `range` and `vrf`), and checks notes against it.
//
// A second implementation beside ledger/tlog/policy.py: which logs are trusted, which of their keys
// may sign which sizes, and which witnesses must have cosigned. A log whose keys are of two types
// must have signed with one of each.
import { isMldsa } from "./mldsa.js";
import {
  ED25519, checkpoint, count, ed25519, equal, hex, join, smallOrder, unhex, vkey, required as want, words,
} from "./verify.js";

const WITNESS = 4, MLDSA = 6; // types of keys, beside ED25519
const SIZES = { [ED25519]: 32, [WITNESS]: 32, [MLDSA]: 1312 };
const NONE = "none";
const LONGEST = 1 << 22, MAX_LINES = 1000, MAX_DEPTH = 16;
const HASH = 32, TIME = 8, ED25519_SIGNATURE = 64;
const LAST = 253402300799; // the last second of the year 9999
const encoder = new TextEncoder();

/** The policy that this text says: keys of logs, and by name its witnesses, groups (`least` of their
 *  `members`), keys of maps, and the sizes from `from`, below `end`, that a key may sign. */
export async function readPolicy(text) {
  const formed = !/[\0-\x08\x0b-\x1f\x7f]|\p{Surrogate}/u.test(text) && text.endsWith("\n");
  want(formed, "the policy's last line has no end, or there are other control characters");
  want(encoder.encode(text).length <= LONGEST, "this is too long for a policy");
  const lines = text.split("\n").slice(0, -1);
  want(lines.length <= MAX_LINES, "the policy has too many lines");
  const [witnesses, groups, maps, ranges] = Array.from({ length: 4 }, () => new Map());
  const policy = { logs: [], witnesses, groups, quorum: null, maps, ranges };
  const members = new Set(); // a witness counts once
  for (const line of lines) {
    const [kind, ...rest] = words(line);
    if (kind === undefined || kind.startsWith("#")) continue;
    want(Object.hasOwn(LINES, kind), "a line of the policy begins with an unknown word");
    await LINES[kind](policy, rest, members);
  }
  want(policy.quorum !== null, "the policy has no quorum: `quorum none` requires no witness");
  return policy;
}

const LINES = {
  log: async (policy, [key, ...rest]) => {
    want(key !== undefined && rest.length <= 1, "a line `log` is malformed");
    policy.logs.push(isNew(policy, await logKey(key)));
  },
  witness: async (policy, [name, key, ...rest]) => {
    want(key !== undefined && rest.length <= 1, "a line `witness` is malformed");
    policy.witnesses.set(free(policy, name), isNew(policy, await keyOf(key, [WITNESS, MLDSA])));
  },
  group: (policy, [name, least, ...rest], members) => {
    want(rest.length > 0, "a group has no members");
    for (const each of rest) {
      want(!members.has(known(policy, each)), "a member is listed twice, so it would count twice");
      members.add(each);
    }
    const depth = 1 + Math.max(...rest.map((each) => policy.groups.get(each)?.depth ?? 0));
    want(depth <= MAX_DEPTH, "groups within groups are too deep");
    const group = { least: leastOf(least, rest.length), members: rest, depth };
    want(group.least >= 1 && group.least <= rest.length, "a group of more than its members, or of none");
    policy.groups.set(free(policy, name), group);
  },
  quorum: (policy, [name, ...rest]) => {
    want(name !== undefined && rest.length === 0 && policy.quorum === null, "not the one line `quorum`");
    policy.quorum = name === NONE ? name : known(policy, name);
  },
  vrf: (policy, [origin, key, since, ...rest]) => {
    want(since !== undefined && rest.length === 0, "a line `vrf` is malformed");
    want(!policy.maps.has(origin), "a map has two keys");
    policy.maps.set(origin, { key: unhex(key, HASH), since: count(since) });
  },
  range: (policy, [key, from, end, ...rest]) => {
    want(end !== undefined && rest.length === 0, "a line `range` is malformed");
    const one = policy.logs.filter((each) => shortName(each) === key).length === 1;
    want(one && !policy.ranges.has(key), "a range is not of the one key of an earlier line, once");
    const sizes = { from: count(from), end: end === "*" ? Infinity : count(end) };
    want(sizes.from < sizes.end, "a key has no size that it may sign");
    policy.ranges.set(key, sizes);
  },
};

/** A key of a log, of Ed25519 or of ML-DSA-44. */
export const logKey = (line) => keyOf(line, [ED25519, MLDSA]);

async function keyOf(line, types) {
  const key = await vkey(line);
  want(types.includes(key.type), "a key is of another type than its line says");
  want(key.raw.length === SIZES[key.type], "a key has another size than its type");
  want(key.type === MLDSA || !smallOrder(key.raw), "a key is a point of small order");
  return key;
}

/** How the line `range` names a key: the beginning of its text. */
export const shortName = (key) => `${key.name}+${hex(key.id)}`;

function isNew(policy, key) {
  const there = [...policy.logs, ...policy.witnesses.values()];
  want(!there.some((each) => equal(each.raw, key.raw)), "a key is listed twice");
  return key;
}

function free(policy, name) {
  const taken = name === NONE || policy.witnesses.has(name) || policy.groups.has(name);
  want(!taken, "a name is used twice, or is `none`");
  return name;
}

function known(policy, name) {
  want(policy.witnesses.has(name) || policy.groups.has(name), "a name is of no earlier line");
  return name;
}

const leastOf = (least, all) => (least === "any" ? 1 : least === "all" ? all : count(least));

/** The note's checkpoint. Throws unless the log and the quorum of witnesses signed it. */
export async function underPolicy(policy, note) {
  const head = checkpoint(note.text);
  const mine = policy.logs.filter((key) => key.name === head.origin);
  want(mine.length > 0, "the policy does not list this log");
  for (const type of new Set(mine.map((key) => key.type))) {
    let counts = false; // all are asked: a wrong signature is refused, whoever else signed
    for (const key of mine.filter((each) => each.type === type)) {
      const { from, end } = policy.ranges.get(shortName(key)) ?? { from: 0, end: Infinity };
      if (await hasSigned(key, note)) counts ||= from <= head.size && head.size < end;
    }
    want(counts, "no key of the log that may sign at this size signed the checkpoint");
  }
  if (policy.quorum === NONE) return head;
  const seen = new Set();
  for (const [name, key] of policy.witnesses) if (await hasSigned(key, note)) seen.add(name);
  want(isWitnessed(policy, policy.quorum, seen), "too few witnesses cosigned the checkpoint");
  return head;
}

/** As `underPolicy`; but if a quorum must cosign, one type of the log's keys is enough. */
export async function underCosigned(policy, note) {
  const types = new Set();
  if (policy.quorum !== NONE) {
    for (const key of policy.logs) if (await hasSigned(key, note)) types.add(key.type);
  }
  const logs = types.size === 0 ? policy.logs : policy.logs.filter(({ type }) => types.has(type));
  return underPolicy({ ...policy, logs }, note);
}

/** When each witness of the policy cosigned a note that was checked under it, in POSIX seconds. */
export function cosignedAt(policy, note) {
  if (policy.quorum === NONE) return [];
  const keys = [...policy.witnesses.values()];
  return note.signatures.filter((each) => keys.some((key) => isBy(key, each))).map(({ signature }) => timeOf(signature));
}

function isWitnessed(policy, name, seen) {
  const group = policy.groups.get(name);
  if (group === undefined) return seen.has(name);
  return group.members.filter((each) => isWitnessed(policy, each, seen)).length >= group.least;
}

export const isBy = (key, signature) => signature.name === key.name && equal(signature.id, key.id);

/** Whether the key signed. Throws if its signature is there and wrong, or stands twice. */
export async function hasSigned(key, note) {
  const found = note.signatures.filter((each) => isBy(key, each));
  if (found.length === 0) return false;
  want(found.length === 1, "a key signed twice");
  want(await isGood(key, note, found[0].signature), "a signature is wrong");
  return true;
}

/** Throws unless every one of these keys signed, each once. */
export async function signedByAll(keys, note) {
  want(keys.length > 0, "there is no key to check with");
  want(new Set(keys.map(shortName)).size === keys.length, "a key stands twice");
  for (const key of keys) want(await hasSigned(key, note), "a key did not sign");
}

/** When the witness with this key (text) cosigned the note, in POSIX seconds. */
export async function cosigned(line, note) {
  const key = await keyOf(line, [WITNESS]);
  want(await hasSigned(key, note), "the witness did not cosign the note");
  return timeOf(note.signatures.find((each) => isBy(key, each)).signature);
}

async function isGood(key, note, signature) {
  const text = encoder.encode(note.text);
  if (key.type === ED25519) return ed25519(key.raw, signature, text);
  if (key.type === MLDSA) {
    const message = subtree(key.name, signature.slice(0, TIME), note.text);
    return isMldsa(key.raw, message, signature.slice(TIME));
  }
  if (signature.length !== TIME + ED25519_SIGNATURE) return false;
  const stated = encoder.encode(`cosignature/v1\ntime ${timeOf(signature)}\n`);
  return ed25519(key.raw, signature.slice(TIME), join(stated, text));
}

/** The time that a cosignature begins with. */
function timeOf(signature) {
  const time = number(signature);
  want(time <= LAST, "a cosignature is of a time after the year 9999");
  return Number(time);
}

const number = (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);

/** What ML-DSA-44 signs of a checkpoint; of one with extension lines nothing, as it covers none. */
function subtree(name, time, text) {
  const { origin, size, root } = checkpoint(text);
  want(text.split("\n").length === 4, "ML-DSA-44 signs no checkpoint with extension lines");
  want(time.length === TIME && time[0] < 128, "a signature is of a time that is none");
  const ends = new Uint8Array(16);
  new DataView(ends.buffer).setBigUint64(8, BigInt(size));
  return join(encoder.encode("subtree/v1\n\0"), sized(name), time, sized(origin), ends, root);
}

function sized(text) {
  const bytes = encoder.encode(text);
  want(bytes.length > 0 && bytes.length < 256, "a name is too long for ML-DSA-44");
  return join(Uint8Array.of(bytes.length), bytes);
}
