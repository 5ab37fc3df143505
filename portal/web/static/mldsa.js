// Verifies ML-DSA-44 (FIPS 204), which WebCrypto does not know yet. Nothing here is secret.
//
// A log has a key of this kind beside its Ed25519 key, so that neither being broken is enough to
// sign in its name. `isMldsa` says whether `signature` is one of `message` by the key (bytes, all).
const Q = 8380417, N = 256, ROWS = 4; // a square matrix of polynomials, four by four
const KEY = 1312, SIGNATURE = 2420, CHALLENGE = 32, MASK = 1 << 17;
const BOUND = MASK - 78, HINTS = 80, ONES = 39, STEP = (Q - 1) / 44;

export function isMldsa(key, message, signature) {
  if (key.length !== KEY || signature.length !== SIGNATURE) return false;
  const challenge = signature.slice(0, CHALLENGE), hints = hinted(signature.slice(-HINTS - ROWS));
  const z = rows((row) => unpacked(signature, CHALLENGE + 576 * row, 18).map((each) => MASK - each));
  if (hints === null || z.some((each) => each.some((value) => Math.abs(value) >= BOUND))) return false;
  const seed = key.slice(0, 32), factor = ntt(ball(challenge)), response = z.map(ntt);
  const packed = rows((row) => {
    const t = ntt(unpacked(key, 32 + 320 * row, 10).map((each) => each << 13));
    const sum = factor.map((each, at) => Q - ((each * t[at]) % Q));
    for (let column = 0; column < ROWS; column++) {
      const drawn = uniform(seed, column, row);
      for (let at = 0; at < N; at++) sum[at] = (sum[at] + drawn[at] * response[column][at]) % Q;
    }
    return sixBits(inverse(sum).map((each, at) => high(each, hints[row].has(at))));
  });
  const named = shake(136, Uint8Array.of(...shake(136, key)(64), 0, 0, ...message))(64);
  const wanted = shake(136, Uint8Array.of(...named, ...packed.flat()))(CHALLENGE);
  return wanted.every((each, at) => each === challenge[at]);
}

const rows = (make) => Array.from({ length: ROWS }, (_, row) => make(row));

/** 256 numbers of so many bits each, the lowest bit first. */
function unpacked(data, at, bits) {
  let held = 0, have = 0;
  return Array.from({ length: N }, () => {
    for (; have < bits; have += 8) held |= data[at++] << have;
    const value = held & ((1 << bits) - 1);
    [held, have] = [held >>> bits, have - bits];
    return value;
  });
}

/** The same the other way, for numbers below 64. */
function sixBits(values) {
  const bytes = [];
  for (let at = 0; at < N; at += 4) {
    const [a, b, c, d] = values.slice(at, at + 4);
    bytes.push((a | (b << 6)) & 255, ((b >> 2) | (c << 4)) & 255, (c >> 4) | (d << 2));
  }
  return bytes;
}

/** The places of the hints in each row; null: they are not in their one form. */
function hinted(data) {
  let at = 0;
  const found = rows(() => new Set());
  for (let row = 0; row < ROWS; row++) {
    const first = at, end = data[HINTS + row];
    if (end < at || end > HINTS) return null;
    for (; at < end; at++) {
      if (at > first && data[at - 1] >= data[at]) return null;
      found[row].add(data[at]);
    }
  }
  return data.slice(at, HINTS).every((each) => each === 0) ? found : null;
}

/** The polynomial of the challenge: 39 of its coefficients are 1 or -1. */
function ball(seed) {
  const squeeze = shake(136, seed), signs = squeeze(8), found = new Array(N).fill(0);
  for (let at = N - ONES; at < N; at++) {
    let place = squeeze(1)[0];
    while (place > at) place = squeeze(1)[0];
    const bit = at + ONES - N;
    found[at] = found[place];
    found[place] = (signs[bit >> 3] >> (bit & 7)) & 1 ? Q - 1 : 1;
  }
  return found;
}

/** A polynomial of the matrix, as its transform. */
function uniform(seed, column, row) {
  const squeeze = shake(168, Uint8Array.of(...seed, column, row)), found = [];
  while (found.length < N) {
    const [low, middle, top] = squeeze(3), value = low | (middle << 8) | ((top & 127) << 16);
    if (value < Q) found.push(value);
  }
  return found;
}

/** The high bits of a coefficient, corrected by its hint. */
function high(value, isHinted) {
  let low = value % (2 * 95232);
  if (low > 95232) low -= 2 * 95232;
  const wraps = value - low === Q - 1;
  const part = wraps ? 0 : (value - low) / STEP;
  if (!isHinted) return part;
  return (part + ((wraps ? low - 1 : low) > 0 ? 1 : 43)) % 44;
}

const ZETAS = Array.from({ length: N }, (_, at) => {
  let turned = 0, power = 1;
  for (let bit = 0; bit < 8; bit++) turned |= ((at >> bit) & 1) << (7 - bit);
  for (let times = 0; times < turned; times++) power = (power * 1753) % Q;
  return power;
});

function ntt(values) {
  const found = values.map((each) => (each + Q) % Q);
  let number = 0;
  for (let size = N / 2; size > 0; size >>= 1) {
    for (let start = 0; start < N; start += 2 * size) {
      const zeta = ZETAS[++number];
      for (let at = start; at < start + size; at++) {
        const turned = (zeta * found[at + size]) % Q;
        found[at + size] = (found[at] - turned + Q) % Q;
        found[at] = (found[at] + turned) % Q;
      }
    }
  }
  return found;
}

function inverse(found) {
  let number = N;
  for (let size = 1; size < N; size *= 2) {
    for (let start = 0; start < N; start += 2 * size) {
      const zeta = Q - ZETAS[--number];
      for (let at = start; at < start + size; at++) {
        const before = found[at];
        found[at] = (before + found[at + size]) % Q;
        found[at + size] = (zeta * (before - found[at + size] + Q)) % Q;
      }
    }
  }
  return found.map((each) => (each * 8347681) % Q);
}

/** SHAKE128 (rate 168) or SHAKE256 (rate 136) of `data`: a function that gives the next bytes. */
function shake(rate, data) {
  const state = new Uint32Array(50), bytes = new Uint8Array(state.buffer); // both are little-endian
  let at = 0;
  for (const each of data) {
    bytes[at++] ^= each;
    if (at === rate) [at] = [0, permute(state)];
  }
  bytes[at] ^= 31;
  bytes[rate - 1] ^= 128;
  at = rate;
  return (size) => {
    const found = new Uint8Array(size);
    for (let place = 0; place < size; place++) {
      if (at === rate) [at] = [0, permute(state)];
      found[place] = bytes[at++];
    }
    return found;
  };
}

// Keccak-f[1600]: where each lane goes and how far it turns, and the constants of the rounds.
const TO = [], BY = [];
for (let x = 1, y = 0, number = 1; number <= 24; number++) {
  [x, y] = [y, (2 * x + 3 * y) % 5];
  TO.push(2 * (x + 5 * y));
  BY.push(((number * (number + 1)) / 2) % 64);
}
const CONSTANTS = [];
for (let round = 0, register = 1; round < 24; round++) {
  const halves = [0, 0];
  for (let bit = 0; bit < 7; bit++) {
    const place = (1 << bit) - 1;
    if (register & 1) halves[place >> 5] ^= 1 << (place & 31);
    register = register & 128 ? ((register << 1) ^ 0x171) : register << 1;
  }
  CONSTANTS.push(halves);
}

function permute(state) {
  const sums = new Uint32Array(10), row = new Uint32Array(10);
  for (const [low, top] of CONSTANTS) {
    for (let at = 0; at < 10; at++) {
      sums[at] = state[at] ^ state[at + 10] ^ state[at + 20] ^ state[at + 30] ^ state[at + 40];
    }
    for (let at = 0; at < 50; at += 2) {
      const left = (at + 8) % 10, right = (at + 2) % 10;
      state[at] ^= sums[left] ^ ((sums[right] << 1) | (sums[right + 1] >>> 31));
      state[at + 1] ^= sums[left + 1] ^ ((sums[right + 1] << 1) | (sums[right] >>> 31));
    }
    turn(state);
    for (let start = 0; start < 50; start += 10) {
      for (let at = 0; at < 10; at++) row[at] = state[start + at];
      for (let at = 0; at < 10; at++) state[start + at] ^= ~row[(at + 2) % 10] & row[(at + 4) % 10];
    }
    state[0] ^= low;
    state[1] ^= top;
  }
}

/** Each lane moves on to the place of the next, and turns. Numbers alone: most of the time is spent here. */
function turn(state) {
  let low = state[2], top = state[3];
  for (let number = 0; number < 24; number++) {
    const by = BY[number], place = TO[number], bits = by & 31;
    const a = by < 32 ? low : top, b = by < 32 ? top : low;
    low = state[place];
    top = state[place + 1];
    state[place] = bits === 0 ? a : (a << bits) | (b >>> (32 - bits));
    state[place + 1] = bits === 0 ? b : (b << bits) | (a >>> (32 - bits));
  }
}
