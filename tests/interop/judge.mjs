// Puts vectors before the verifier that runs in the browser. A question is [kind, …]:
// ["receipt", text, keys], or ["inclusion", vector] and so with the other kinds below. The answer is 1 (accepted), 0 (refused), or 2: it failed with
// an error that is no verdict.
const VERDICTS = ["ProofError", "VrfError", "CanonicalError", "RefusedError"];
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (data) => [...data].map((each) => each.toString(16).padStart(2, "0")).join("");

class RefusedError extends Error {}

/** `verifier`: what the modules of portal/web/static export that opinions.MODULES lists. */
export function judge(verifier, [kind, ...rest]) {
  const judges = {
    receipt: (text, keys) => verifier.verify(text, keys),
    inclusion: (v) =>
      verifier.included(bytes(v.leaf), v.index, v.size, bytes(v.root), v.proof.map(bytes)),
    instruction: (v) =>
      verifier.signedBy({
        event: JSON.parse(v.event), signature: JSON.parse(v.signature), signer: JSON.parse(v.signer),
      }),
    bound: (v) => verifier.latestState(v.proof, v.subject, v.keys.join("\n"), v.map_key),
    order: async ({ keys, note }) => {
      const read = verifier.note(note), { origin } = verifier.checkpoint(read.text);
      return verifier.signed(read, await verifier.readKeys(keys.join("\n")), origin);
    },
    policy: async (v) => verifier.underPolicy(await verifier.readPolicy(v.policy), verifier.note(v.note)),
    believed: async (v) => {
      const policy = await verifier.readPolicy(v.policy), receipt = verifier.readReceipt(v.receipt);
      return verifier.proven(receipt, await verifier.underPolicy(policy, receipt.note));
    },
    signatures: async (v) => {
      await verifier.signedByAll(await Promise.all(v.keys.map(verifier.logKey)), verifier.note(v.note));
    },
    cosignature: async (v) => {
      if ((await verifier.cosigned(v.key, verifier.note(v.note))) !== v.time) throw new RefusedError("another time");
    },
    evidence: async (v) => {
      const policies = [];
      for (const each of v.policies) policies.push(await verifier.readPolicy(each));
      return verifier.proves(verifier.readEvidence(v.evidence), policies);
    },
    steps: async (v) => {
      const policies = [];
      for (const each of v.policies) policies.push(await verifier.readPolicy(each));
      const found = await verifier.proves(verifier.readEvidence(v.evidence), policies);
      const told = found.steps.map(({ seq, index, at, key, seen }) =>
        [seq, index, at, key && hex(Uint8Array.from(atob(key), (sign) => sign.charCodeAt(0))), seen]);
      if (JSON.stringify(told) !== JSON.stringify(v.steps)) throw new RefusedError("other steps");
    },
    transition: async (v) => {
      const [states, consent] = await Promise.all([
        [v.states.map((each) => new TextEncoder().encode(each)), v.states_note, v.keys[0]],
        [v.consent.map(bytes), v.consent_note, v.keys[1]],
      ].map(async ([entries, text, key]) => {
        if (v.keys.length !== 2) throw new RefusedError("not the keys of two logs");
        const read = verifier.note(text), head = verifier.checkpoint(read.text);
        const signer = await verifier.logKey(key);
        const signs = signer.name === head.origin && (await verifier.hasSigned(signer, read));
        if (!signs) throw new RefusedError("the key of the log did not sign");
        return { entries, head };
      }));
      return verifier.followed(states, consent, bytes(v.transitions));
    },
    vrf: async (v) => {
      const output = await verifier.output(bytes(v.key), bytes(v.alpha), bytes(v.proof));
      if (hex(output) !== v.output) throw new RefusedError("another output");
    },
  };
  return judges[kind](...rest).then(
    () => 1, (error) => (VERDICTS.includes(error?.constructor?.name) ? 0 : 2));
}
