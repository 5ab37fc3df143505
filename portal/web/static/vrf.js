// Verifies a verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381.
//
// A second implementation beside ledger/statemap/vrf.py, in BigInt. `output` returns the one output
// for an input under a key, which the proof proves, or throws a VrfError. Nothing here is secret.
const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const SIZE = 32, PROOF = 80, CHALLENGE = 16;
const SUITE = 3;

export class VrfError extends Error {}

/** The 64 bytes of output for `alpha` under the key `key`, which `proof` proves (bytes, all). */
export async function output(key, alpha, proof) {
  const point = decode(key);
  want(!isIdentity(timesCofactor(point)), "the key is a point of small order");
  want(proof.length === PROOF, "the proof is not 80 bytes long");
  const gamma = decode(proof.subarray(0, SIZE));
  const c = number(proof.subarray(SIZE, SIZE + CHALLENGE));
  const s = number(proof.subarray(SIZE + CHALLENGE));
  want(s < ORDER, "a number of the proof is not below the order of the group");
  const hashed = await hashToCurve(key, alpha);
  const u = sum(s, BASE, c, negative(point)), v = sum(s, hashed, c, negative(gamma));
  const points = [key, ...[hashed, gamma, u, v].map(encode)];
  const digest = await sha512([SUITE, 2], ...points, [0]);
  want(number(digest.subarray(0, CHALLENGE)) === c, "the proof is not of this key and input");
  return sha512([SUITE, 3], encode(timesCofactor(gamma)), [0]);
}

async function hashToCurve(key, alpha) {
  for (let counter = 0; counter < 256; counter++) {
    const digest = await sha512([SUITE, 1], key, alpha, [counter, 0]);
    const point = decoded(digest.subarray(0, SIZE));
    if (point === null) continue;
    const prime = timesCofactor(point);
    if (!isIdentity(prime)) return prime;
  }
  throw new VrfError("no point for this input");
}

// Points are [X, Y, Z, T] with x = X/Z, y = Y/Z and T = XY/Z.
const mod = (value) => ((value % P) + P) % P;
const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const IDENTITY = [0n, 1n, 1n, 0n];
const BASE = decode(bytes(mod(4n * inverse(5n))));

function decode(data) {
  const point = decoded(data);
  want(point !== null, "a point is malformed");
  return point;
}

/** RFC 8032, 5.1.3; null for bytes that are not the canonical encoding of a point. */
function decoded(data) {
  if (data.length !== SIZE) return null;
  const value = number(data), sign = value >> 255n, y = value & ((1n << 255n) - 1n);
  if (y >= P) return null;
  const u = mod(y * y - 1n), v = mod(D * y * y + 1n), v3 = mod(v * v * v);
  let x = mod(u * v3 * power(mod(u * v3 * v3 * v), (P - 5n) / 8n));
  const square = mod(v * x * x);
  if (square !== u) {
    if (square !== mod(-u)) return null;
    x = mod(x * ROOT_OF_MINUS_ONE);
  }
  if (x === 0n && sign === 1n) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, mod(x * y)];
}

function encode([x, y, z]) {
  const scale = inverse(z);
  return bytes(mod(y * scale) | ((mod(x * scale) & 1n) << 255n));
}

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2), d = mod(2n * z1 * z2);
  const e = b - a, f = d - c, g = d + c, h = b + a;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

const negative = ([x, y, z, t]) => [mod(-x), y, z, mod(-t)];
const isIdentity = ([x, y, z]) => mod(x) === 0n && mod(y - z) === 0n;

function timesCofactor(point) {
  for (let times = 0; times < 3; times++) point = add(point, point);
  return point;
}

/** a times one, plus b times other. */
function sum(a, one, b, other) {
  const both = add(one, other);
  let result = IDENTITY;
  for (let bit = 255n; bit >= 0n; bit--) {
    result = add(result, result);
    const first = (a >> bit) & 1n, second = (b >> bit) & 1n;
    if (first && second) result = add(result, both);
    else if (first) result = add(result, one);
    else if (second) result = add(result, other);
  }
  return result;
}

function power(base, exponent) {
  let result = 1n;
  for (let square = mod(base); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

function inverse(value) {
  return power(value, P - 2n);
}

/** The number of these bytes, the lowest first. */
function number(data) {
  let value = 0n;
  for (const each of [...data].reverse()) value = (value << 8n) | BigInt(each);
  return value;
}

function bytes(value) {
  return Uint8Array.from({ length: SIZE }, (_, at) => Number((value >> BigInt(8 * at)) & 255n));
}

async function sha512(...parts) {
  const joined = Uint8Array.from(parts.flatMap((each) => [...each]));
  return new Uint8Array(await crypto.subtle.digest("SHA-512", joined));
}

function want(holds, otherwise) {
  if (!holds) throw new VrfError(otherwise);
}
