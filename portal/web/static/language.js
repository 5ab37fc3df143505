// Times in the reader's zone; a choice of language that loses nothing typed; a script that can come later.
const KEPT = "sovereign-typed"; // stays in this tab
const root = document.documentElement;

function local(time) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const parts = { year: "numeric", month: "short", day: "numeric" };
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
  time.title = time.textContent; // as it was: in UTC
  time.textContent = new Intl.DateTimeFormat(root.dataset.formats, { ...parts, ...clock }).format(at);
  time.dataset.local = "";
}

function localise(part) {
  for (const each of part.querySelectorAll("time[datetime]:not([data-local])")) local(each);
}

// No field that is hidden, secret or a file.
function typed() {
  const fields = [...document.querySelectorAll("main input, main textarea, main select")];
  return fields.filter((each) => !["hidden", "password", "file", "submit"].includes(each.type));
}

function keep() {
  const values = typed().map((each) => [each.type, each.value, each.checked ?? false]);
  sessionStorage.setItem(KEPT, JSON.stringify([location.pathname, values]));
}

function restore() {
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  const [path, values] = kept ? JSON.parse(kept) : ["", []];
  const fields = typed();
  if (path !== location.pathname || fields.length !== values.length) return;
  if (fields.some((each, place) => each.type !== values[place][0])) return; // another page by now
  fields.forEach((each, place) => {
    [, each.value] = values[place];
    if ("checked" in each) [, , each.checked] = values[place];
  });
  document.dispatchEvent(new CustomEvent("typed-again"));
}

localise(document);
document.addEventListener("htmx:after:settle", () => localise(document));
document.querySelector("[data-languages]")?.addEventListener("submit", keep);
addEventListener("load", () => {
  restore();
  const later = document.querySelector("[data-later]");
  if (later) setTimeout(() => import(later.dataset.later), 1000);
});
