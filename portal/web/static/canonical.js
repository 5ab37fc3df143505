// Strict JSON: what is parsed here means one thing to every program that parses it.
//
// The profile of events: integers within ±(2^53 - 1), no fractions and no exponents, ASCII keys, no
// key twice, no half characters, nesting no deeper than 64. White space is taken where JSON has it;
// `format` (RFC 8785) leaves none. The server says the same in its own language; neither shares
// code with the other. No dependency; runs in browsers and under Node.

const DEEPEST = 64;
const LONGEST = String(Number.MAX_SAFE_INTEGER).length + 1;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WORDS = { true: true, false: false, null: null };

export class CanonicalError extends Error {}

/** The value of strict JSON, given as bytes (UTF-8) or as text. Throws CanonicalError. */
export function parse(source) {
  const reader = new Reader(typeof source === "string" ? source : decoded(source));
  const value = reader.value(DEEPEST);
  reader.space();
  want(reader.at === reader.text.length, "something follows the value");
  return value;
}

/** The one canonical text of a value. Throws CanonicalError for what strict JSON cannot say. */
export function format(value, depth = DEEPEST) {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return number(value);
  if (value === null || typeof value === "boolean") return String(value);
  want(typeof value === "object", `a ${typeof value} cannot be written`);
  want(depth > 0, `nested deeper than ${DEEPEST}`);
  if (Array.isArray(value)) {
    return `[${Array.from(value, (each) => format(each, depth - 1)).join()}]`;
  }
  const plain = [Object.prototype, null].includes(Object.getPrototypeOf(value));
  want(plain, "an object that is no plain one cannot be written");
  const pairs = Object.keys(value).sort().map((key) => {
    want(/^[\0-\x7f]*$/.test(key), "a key is not ASCII");
    return `${quoted(key)}:${format(value[key], depth - 1)}`;
  });
  return `{${pairs.join()}}`;
}

function number(value) {
  want(Number.isSafeInteger(value) && !Object.is(value, -0), `${value} is no integer of the profile`);
  return String(value);
}

function quoted(text) {
  want(!/\p{Surrogate}/u.test(text), "half a character stands in a text");
  return JSON.stringify(text);
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CanonicalError("not UTF-8");
  }
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  value(depth) {
    this.space();
    const sign = this.text[this.at];
    if (sign === '"') return this.string();
    if (sign === "{") return this.object(depth);
    if (sign === "[") return this.array(depth);
    if (sign === "-" || (sign >= "0" && sign <= "9")) return this.integer();
    const word = this.match(/true|false|null/y);
    want(word !== "", "a value is missing");
    return WORDS[word];
  }

  object(depth) {
    const pairs = this.list("}", depth, () => {
      this.space();
      want(this.text[this.at] === '"', "a key is missing");
      const key = this.string();
      want(/^[\0-\x7f]*$/.test(key), "a key is not ASCII");
      this.space();
      want(this.take(":"), "a colon is missing");
      return [key, this.value(depth - 1)];
    });
    want(new Set(pairs.map(([key]) => key)).size === pairs.length, "a key stands twice");
    return Object.fromEntries(pairs);
  }

  array(depth) {
    return this.list("]", depth, () => this.value(depth - 1));
  }

  list(end, depth, each) {
    want(depth > 0, `nested deeper than ${DEEPEST}`);
    const found = [];
    this.at += 1;
    this.space();
    if (this.take(end)) return found;
    for (;;) {
      found.push(each());
      this.space();
      if (this.take(end)) return found;
      want(this.take(","), "a comma or an end is missing");
    }
  }

  integer() {
    const found = this.match(/-?(?:0|[1-9][0-9]*)/y);
    want(found !== "" && found !== "-0" && found.length <= LONGEST, "a number is malformed");
    want(!/[0-9.eE]/.test(this.text[this.at] ?? ""), "a number is no integer");
    want(Number.isSafeInteger(Number(found)), `${found} is beyond 2^53 - 1`);
    return Number(found);
  }

  string() {
    let found = "";
    this.at += 1;
    for (;;) {
      found += this.match(/[^"\\\x00-\x1f]*/y);
      const sign = this.text[this.at];
      this.at += 1;
      if (sign === '"') break;
      want(sign === "\\", "a text does not end, or holds a control character");
      found += this.escape();
    }
    want(!/\p{Surrogate}/u.test(found), "half a character stands in a text");
    return found;
  }

  escape() {
    const sign = this.text[this.at];
    if (sign === "u") {
      const digits = this.text.slice(this.at + 1, this.at + 5);
      want(/^[0-9a-fA-F]{4}$/.test(digits), "an escape is malformed");
      this.at += 5;
      return String.fromCharCode(parseInt(digits, 16));
    }
    want(sign !== undefined && Object.hasOwn(ESCAPES, sign), "an escape is malformed");
    this.at += 1;
    return ESCAPES[sign];
  }

  space() {
    this.match(/[ \t\n\r]*/y);
  }

  take(sign) {
    const there = this.text[this.at] === sign;
    if (there) this.at += 1;
    return there;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }
}

function want(condition, otherwise) {
  if (!condition) throw new CanonicalError(otherwise);
}
