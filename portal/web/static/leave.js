// Has a key of the customer's sign that everything about them is to be erased.
//
// What is signed says so, and nothing else: its type makes it no instruction that a log records.
import { join, sha256, text } from "./bytes.js";
import { format, parse } from "./canonical.js";
import { post, same, signer, tell, want } from "./sign.js";

const form = document.getElementById("leave"), hand = document.getElementById("hand");

form?.addEventListener("submit", (event) => {
  const { word, code, proof } = form.elements;
  if (event.submitter?.formMethod === "get" || proof.value || code.value || !word.value) return;
  event.preventDefault();
  signed().then((made) => {
    proof.value = made;
    form.requestSubmit();
  }, tell);
});

async function signed() {
  const using = await signer();
  if (!using) throw new Error("no key is at hand");
  const headers = { "Sovereign-Evidence": using.evidence };
  const reply = await post("/customer/leave/everything/challenge", "", headers);
  const said = parse(new Uint8Array(await reply.arrayBuffer()));
  const { subject, log: origin } = hand.dataset;
  want(/^[0-9a-f]{64}$/.test(said.nonce), "nonce");
  const expected = { evidence: using.evidence, nonce: said.nonce, origin, subject, type: "erasure-request" };
  want(same(said, expected), "act");
  const challenge = await sha256(join(text("sovereign/instruction/v1\0"), text(format(said))));
  return format(await using.sign(challenge));
}
