// Takes the code out of the address (the part after #, which browsers keep to themselves).
const code = document.getElementById("code");
if (location.hash.length > 1) {
  code.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  code.form.querySelector("button").focus();
}
