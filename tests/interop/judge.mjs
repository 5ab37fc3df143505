// Puts vectors before the verifier that runs in the browser. A question is [kind, …]:
// ["receipt", text, keys], ["inclusion", vector] or ["instruction", vector]. The answer is 1 or 0.
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** `verifier`: the module portal/web/static/verify.js. */
export function judge(verifier, [kind, ...rest]) {
  const judges = {
    receipt: (text, keys) => verifier.verify(text, keys),
    inclusion: (v) =>
      verifier.included(bytes(v.leaf), v.index, v.size, bytes(v.root), v.proof.map(bytes)),
    instruction: (v) =>
      verifier.signedBy({
        event: JSON.parse(v.event), signature: JSON.parse(v.signature), signer: JSON.parse(v.signer),
      }),
  };
  return judges[kind](...rest).then(() => 1, () => 0);
}
