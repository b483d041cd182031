// Collects errors and blocked requests from the start.
window.__errors = [];
window.addEventListener("error", function (e) { window.__errors.push(String(e.message)); });
document.addEventListener("securitypolicyviolation", function (e) {
  window.__errors.push(e.violatedDirective + " " + e.blockedURI); });
window.__report = function (out) {
  var n = document.createElement("pre"); n.id = "probe"; n.textContent = JSON.stringify(out); document.body.appendChild(n); };
