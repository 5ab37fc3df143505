// Keeps a withdrawal that could not be sent, and sends it once the portal answers again.
// A permission is never kept: clause 3.22 of specs/portal.md.
const place = document.getElementById("away"), { subject, waits, refused, changed } = place.dataset;
const KEY = "sovereign-waiting", AGAIN_MS = 3000;
const PRESSED = /^\/customer\/scenes\/[a-z0-9-]+(?:\/items\/\w+)?\/(allow|withdraw)$/;
const DOWN = new Set([502, 503, 504]); // statuses of a portal that cannot be reached
const SIGNED_OUT = "/?unrecorded"; // where the portal sends who is signed in no longer
let sending = false;

/** The presses of this customer that wait in this tab: address by what the page calls it. */
function waiting() {
  const stored = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  return stored?.subject === subject ? new Map(stored.presses) : new Map();
}

function keep(presses) {
  if (presses.size === 0) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, JSON.stringify({ subject, presses: [...presses] }));
  show();
}

function show(other = "") {
  const names = new Intl.ListFormat(document.documentElement.lang).format(waiting().values());
  place.textContent = names ? waits.replace("{names}", names) : other;
  place.hidden = place.textContent === "";
}

function unsent(context) {
  const address = new URL(context.request.action, location.href).pathname, [, wish] = PRESSED.exec(address) ?? [];
  if (wish === "withdraw") {
    const name = context.sourceElement.closest("[role=group]").getAttribute("aria-label");
    keep(waiting().set(address, name));
    later();
  } else if (wish) show(refused);
}

document.addEventListener("htmx:error", ({ detail }) => detail.ctx && !detail.ctx.response && unsent(detail.ctx));
document.addEventListener("htmx:before:response", ({ detail: { ctx } }) => {
  const { status, headers } = ctx.response;
  if (DOWN.has(status) || headers.get("HX-Redirect")?.startsWith(SIGNED_OUT)) unsent(ctx);
});
addEventListener("online", send);

function later() {
  setTimeout(send, AGAIN_MS);
}

/** Sends what waits, on the words and the version that the scene's page has now. */
async function send() {
  if (sending || waiting().size === 0) return;
  sending = true;
  let told = "", recorded = false;
  try {
    for (const address of waiting().keys()) {
      const answered = await press(address);
      const left = waiting();
      left.delete(address);
      keep(left);
      if (answered) recorded = true;
      else told = changed;
    }
    if (told) show(told);
    else if (recorded) location.reload();
  } catch {
    later(); // no answer, or nobody is signed in: it still waits
  } finally {
    sending = false;
  }
}

/** Whether it is recorded, or was off already; false: the portal refused it, as words changed. */
async function press(address) {
  const page = await fetched(address.replace(/\/(?:items\/\w+\/)?withdraw$/, ""));
  const shown = new DOMParser().parseFromString(await page.text(), "text/html");
  const button = shown.querySelector(`[formaction="${address}"]`), version = shown.querySelector("[name=version]");
  if (!button || !version) return false;
  if (button.getAttribute("aria-pressed") === "true") return true;
  const body = new URLSearchParams({ words: button.value, version: version.value, back: "scene" });
  return (await fetched(address, { method: "POST", body })).ok;
}

/** Throws if nobody is signed in, or the portal cannot be reached. */
async function fetched(address, options = {}) {
  const reply = await fetch(address, { ...options, headers: { Accept: "text/html" } });
  if (DOWN.has(reply.status) || new URL(reply.url).pathname === "/") throw new Error("away");
  return reply;
}

place.dataset.listens = "";
show();
send();
