// A client of the gate's HTTP API for services, under Node 20 or later. No dependencies.
//
//	const gate = new Client("https://gate.example", "sovereign_sk_…");
//	const { fields } = await gate.read("segmentation", "c00007", ["age"]);
//	if (fields.age.view === "personal") use(fields.age.value);
//	for await (const row of gate.rows("direct-marketing", ["email"])) send(row.customer);
//
// Every error means: no data. All calls only ask, so they can be sent again: after 429 and 503, no
// sooner than Retry-After says. Types: client.d.ts.

const LINES = "application/x-ndjson";
const VIEWS = { personal: "value", generalised: "value", synthetic: "syntheticValue" };
const JITTER = 0.1; // share of a wait that the gate names which is added at random
const MAX_NAMED = 10_000;

export class GateError extends Error {}
export class NoAnswerError extends GateError {}
export class IncompleteError extends GateError {}
export class UnknownAnswerError extends GateError {}

export class ProblemError extends GateError {
  constructor(status, problem, retryAfterMs) {
    const said = [problem.title, problem.reason, problem.detail].filter(Boolean).join(": ");
    super(`${status} ${said}`);
    Object.assign(this, { status, problem, reason: problem.reason ?? "", retryAfterMs });
  }
}

export class Client {
  #gate;
  #token;
  #timeoutMs;
  #retries;

  constructor(gate, token, { timeoutMs = 10_000, retries = {} } = {}) {
    const url = new URL(gate);
    if (!["http:", "https:"].includes(url.protocol) || url.search || url.hash) {
      throw new TypeError(`${gate} is not an http or https URL; give the gate's`);
    }
    this.#gate = gate.replace(/\/+$/, "");
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#retries = { attempts: 4, totalWaitMs: 60_000, firstWaitMs: 200, ...retries };
  }

  async read(scene, customer, fields, { onBehalfOf, ...asking } = {}) {
    const body = { ...demand(scene, fields, asking), customer, on_behalf_of: onBehalfOf };
    const answer = await this.#json("/v1/read", body);
    const found = answer.fields ?? {};
    requireSame(Object.keys(found), fields);
    const values = fields.map((name) => [name, marked(name, found[name].value, found[name].view)]);
    requireTypes(answer, { decision: "boolean", reason: "string", ledger_size: "number", read_log: "string", entry: "number" });
    return {
      fields: Object.fromEntries(values),
      allowed: answer.decision,
      reason: answer.reason,
      ledgerSize: answer.ledger_size,
      readLog: answer.read_log,
      entry: answer.entry,
    };
  }

  async *rows(scene, fields, asking = {}) {
    const about = { customer: "string" };
    yield* this.#rows("/v1/rows", demand(scene, fields, asking), fields, about);
  }

  async *table(scene, fields, asking = {}) {
    yield* this.#rows("/v1/table", demand(scene, fields, asking), fields, {});
  }

  async *named(scene, customers, fields, asking = {}) {
    if (!Array.isArray(customers) || customers.length < 1 || customers.length > MAX_NAMED || new Set(customers).size !== customers.length) {
      throw new TypeError(`want a list of 1 to ${MAX_NAMED} ids, each once`);
    }
    const about = { customer: "string", "customer.allowed": "boolean", "customer.reason": "string" };
    let place = 0;
    for await (const row of this.#rows("/v1/named", { ...demand(scene, fields, asking), ids: customers }, fields, about)) {
      if (row.customer !== customers[place++]) {
        throw new UnknownAnswerError("want the rows of the ids in their order, found another's");
      }
      yield row;
    }
    if (place !== customers.length) {
      throw new IncompleteError(`want ${customers.length} rows, found ${place}`);
    }
  }

  async decide(question) {
    const answer = await this.#json("/access/v1/evaluation", question);
    requireTypes(answer, { decision: "boolean" });
    return { decision: answer.decision, context: answer.context ?? {} };
  }

  async *changes(since = null, { waitS = 0 } = {}) {
    for (let token = since, more = true; more; ) {
      const query = new URLSearchParams({ wait: String(waitS), ...(token === null ? {} : { since: token }) });
      const page = await this.#json(`/v1/changes?${query}`, undefined, waitS * 1_000);
      requireTypes(page, { token: "string", more: "boolean", changes: "object" });
      if (page.more && page.token === token) throw new UnknownAnswerError("the feed does not lead on");
      for (const each of page.changes) {
        if (!["forget", "refresh"].includes(each.do)) throw new UnknownAnswerError("a change: want forget or refresh");
        yield each;
      }
      ({ more, token } = page);
    }
  }

  async uses() {
    return this.#json("/v1/uses");
  }

  async #json(path, body, waitMs = 0) {
    const { response, timer } = await this.#opened(path, body, "application/json", waitMs);
    try {
      return parsed(await whole(response));
    } finally {
      clearTimeout(timer.id);
    }
  }

  async *#rows(path, body, fields, about) {
    const { response, timer, abort } = await this.#opened(path, body, LINES, 0);
    const members = [...Object.keys(about), ...fields.flatMap((name) => [name, `${name}.view`])];
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let rest = "";
    try {
      for await (const chunk of pieces(response, timer)) {
        const lines = (rest + decoded(decoder, chunk, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) yield row(parsed(line), members, fields, about);
      }
      if (rest + decoded(decoder)) throw new IncompleteError("the answer ends inside a row");
    } finally {
      clearTimeout(timer.id);
      abort.abort();
    }
  }

  // The answer with status 200, its body not read. Asks again as #retries says.
  async #opened(path, body, accept, waitMs) {
    const { attempts, totalWaitMs, firstWaitMs } = this.#retries;
    for (let made = 1, waited = 0; ; made++) {
      try {
        return await this.#attempt(path, body, accept, waitMs);
      } catch (error) {
        const passes = error instanceof ProblemError && [429, 503].includes(error.status);
        if (!passes || made >= attempts) throw error;
        const named = error.retryAfterMs;
        const wait = named === null ? Math.random() * firstWaitMs * 2 ** (made - 1) : named * (1 + Math.random() * JITTER);
        if (waited + wait > totalWaitMs) throw error;
        waited += wait;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #attempt(path, body, accept, waitMs) {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) throw new GateError("want an access token or API key");
    const abort = new AbortController();
    const timer = { ms: this.#timeoutMs, start() { clearTimeout(this.id); this.id = setTimeout(() => abort.abort(), this.ms); } };
    timer.id = setTimeout(() => abort.abort(), this.#timeoutMs + waitMs);
    const headers = { Authorization: `Bearer ${token}`, Accept: accept, "Accept-Encoding": "identity" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = { method: body === undefined ? "GET" : "POST", headers, redirect: "manual", signal: abort.signal };
    try {
      const response = await fetch(this.#gate + path, { ...sent, body: body && JSON.stringify(body) });
      if (response.status === 200) {
        requireEnd(response.headers);
        return { response, timer, abort };
      }
      throw problem(response.status, await response.text(), response.headers.get("retry-after"));
    } catch (error) {
      clearTimeout(timer.id);
      abort.abort();
      if (error instanceof GateError) throw error;
      throw new NoAnswerError(`${this.#gate}: no answer; treat it as no data`, { cause: error });
    }
  }
}

function demand(scene, fields, { purpose, minimumSize = 0, where }) {
  if (!Array.isArray(fields)) throw new TypeError("want a list of fields");
  return { scene, fields, purpose, minimum_size: minimumSize, filter: where };
}

function marked(name, value, view) {
  if (view === "withheld" && value === null) return { view };
  if (!Object.hasOwn(VIEWS, view) || value === undefined) {
    throw new UnknownAnswerError(`view of ${name}: not understood; update this client`);
  }
  return { view, [VIEWS[view]]: value };
}

function row(found, members, fields, about) {
  requireSame(Object.keys(found), members);
  requireTypes(found, about);
  const values = fields.map((name) => [name, marked(name, found[name], found[`${name}.view`])]);
  const others = Object.keys(about).map((name) => [name.replace("customer.", ""), found[name]]);
  return { ...Object.fromEntries(others), fields: Object.fromEntries(values) };
}

function requireSame(found, wanted) {
  const same = found.length === new Set(wanted).size && wanted.every((each) => found.includes(each));
  if (!same) throw new UnknownAnswerError(`want ${wanted.join(", ")}; found ${found.join(", ")}`);
}

function requireTypes(found, types) {
  for (const [name, type] of Object.entries(types)) {
    if (typeof found[name] !== type) throw new UnknownAnswerError(`${name}: want a ${type}`);
  }
}

// Refuse an answer that only a closed connection ends: a cut one would look complete.
function requireEnd(headers) {
  const chunked = headers.get("transfer-encoding")?.toLowerCase().endsWith("chunked");
  if (!chunked && !headers.has("content-length")) {
    throw new IncompleteError("want an answer with a length or in chunks: check the proxy before the gate (HTTP/1.1)");
  }
  if (headers.has("content-encoding")) throw new IncompleteError("want no content encoding: check the proxy");
}

async function* pieces(response, timer) {
  try {
    timer.start();
    for await (const chunk of response.body) {
      clearTimeout(timer.id); // the reader of the rows may take its time
      yield chunk;
      timer.start();
    }
  } catch (error) {
    throw error instanceof GateError ? error : new IncompleteError("the answer broke off", { cause: error });
  }
}

function decoded(decoder, ...bytes) {
  try {
    return decoder.decode(...bytes);
  } catch {
    throw new UnknownAnswerError("want UTF-8");
  }
}

async function whole(response) {
  try {
    return await response.text();
  } catch (error) {
    throw new IncompleteError("the answer broke off", { cause: error });
  }
}

function parsed(text) {
  try {
    const found = JSON.parse(text);
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return found;
  } catch {
    // said below, without the text: it can be a customer's data
  }
  throw new UnknownAnswerError("want a JSON object");
}

function problem(status, text, retryAfter) {
  let about = { title: "An answer that is no problem of the gate" };
  try {
    about = parsed(text);
  } catch {
    // a proxy's page
  }
  if (status < 400) return new UnknownAnswerError(`want status 200, found ${status}: check the gate's address`);
  return new ProblemError(status, about, afterMs(retryAfter));
}

function afterMs(header) {
  if (header === null) return null;
  if (/^[0-9]+$/.test(header)) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
