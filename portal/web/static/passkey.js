// Asks the browser for a passkey: to add one, or to sign in. The page says which, and where to go on.
const part = document.getElementById("passkey");
const button = part.querySelector("button"), failed = part.querySelector("[role=alert]");
const { answer, kind, next } = part.dataset;

part.hidden = !globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON;
button.addEventListener("click", async () => {
  button.disabled = true;
  failed.hidden = true;
  try {
    const asked = await post(`${answer}/options`);
    const options = await asked.json();
    const made = kind === "create"
      ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    await post(answer, JSON.stringify(made.toJSON()));
    location.assign(next);
  } catch (error) {
    failed.hidden = false;
    button.disabled = false;
    button.focus();
  }
});

async function post(path, body = "") {
  const reply = await fetch(path, { method: "POST", body, headers: { Accept: "application/json" } });
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply;
}
