// Sends the form to the other host at once; without a script its button does.
document.getElementById("crossing").submit();
