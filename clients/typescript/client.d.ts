/** A value with what it is. Only a personal or generalised one has a `value`. */
export type Value =
  | { readonly view: "personal"; readonly value: unknown }
  | { readonly view: "generalised"; readonly value: unknown }
  | { readonly view: "synthetic"; readonly syntheticValue: unknown }
  | { readonly view: "withheld" };

export type Fields = Readonly<Record<string, Value>>;

/** One customer's fields. `allowed`: every field may be used as personal data. */
export interface Answer {
  readonly fields: Fields;
  readonly allowed: boolean;
  readonly reason: string;
  readonly ledgerSize: number;
  readonly readLog: string;
  readonly entry: number;
}

export interface TableRow {
  readonly fields: Fields;
}

export interface CustomerRow extends TableRow {
  readonly customer: string;
}

export interface NamedRow extends CustomerRow {
  readonly allowed: boolean;
  readonly reason: string;
}

/** What to do with what you received of a customer. `customer`: null if they were erased. */
export interface Change {
  readonly do: "forget" | "refresh";
  readonly customer: string | null;
  readonly customer_hash: string | null;
  readonly scene: string | null;
  readonly fields: readonly string[] | null;
  readonly reason: string;
  readonly ledger_size: number;
  readonly at: string;
  readonly until: string | null;
  readonly token: string;
}

export interface Decision {
  readonly decision: boolean;
  readonly context: Readonly<Record<string, unknown>>;
}

export interface Asking {
  /** If it is stated, it must be the scene's. */
  purpose?: string;
  /** Of the ledger that the answer must rest on at least. */
  minimumSize?: number;
}

export interface Filtering extends Asking {
  /** Conditions that must all hold. */
  where?: ReadonlyArray<{ field: string; comparison: "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "in"; value: unknown }>;
}

/** How often a call is sent at most, and how long all its waits together may be. */
export interface Retries {
  attempts?: number;
  totalWaitMs?: number;
  firstWaitMs?: number;
}

/** No data. Its subclasses say why. */
export class GateError extends Error {}

/** The gate answered with a problem (RFC 9457). */
export class ProblemError extends GateError {
  readonly status: number;
  readonly problem: Readonly<Record<string, unknown>>;
  readonly reason: string;
  readonly retryAfterMs: number | null;
}

/** No answer, or none in time. */
export class NoAnswerError extends GateError {}

/** An answer broke off. Rows that arrived before are true, but they are not all. */
export class IncompleteError extends GateError {}

/** An answer that is not understood, and therefore not used. */
export class UnknownAnswerError extends GateError {}

/** A client of one gate for one service. Every method rejects with a GateError. */
export class Client {
  /** `token`: an access token, an API key, or what gives one before each attempt. */
  constructor(
    gate: string,
    token: string | (() => string | Promise<string>),
    options?: { timeoutMs?: number; retries?: Retries },
  );
  read(scene: string, customer: string, fields: readonly string[], asking?: Asking & { onBehalfOf?: string }): Promise<Answer>;
  /** The customers who granted all `fields`. A loop that ends without an error has seen all. */
  rows(scene: string, fields: readonly string[], asking?: Filtering): AsyncGenerator<CustomerRow, void>;
  /** All customers' fields without ids, synthetic where they are not granted. */
  table(scene: string, fields: readonly string[], asking?: Filtering): AsyncGenerator<TableRow, void>;
  /** Up to 10,000 customers' fields, in the order of `customers`, each as `read` answers. */
  named(scene: string, customers: readonly string[], fields: readonly string[], asking?: Asking): AsyncGenerator<NamedRow, void>;
  /** AuthZEN evaluation: the decision, without data. */
  decide(question: Readonly<Record<string, unknown>>): Promise<Decision>;
  /** Changes since the token of one, until there is nothing more. */
  changes(since?: string | null, options?: { waitS?: number }): AsyncGenerator<Change, void>;
  uses(): Promise<{ service: string; uses: ReadonlyArray<Readonly<Record<string, unknown>>> }>;
}
