// Works the page as a reader would and reports what it saw.
(function () {
  var out = {};
  function names(root) {
    return Array.prototype.slice.call(root.querySelectorAll("tbody.entry:not([hidden]) .more"))
      .map(function (b) { return b.textContent.trim(); });
  }
  function key(target, name) { target.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true})); }
  var table = document.querySelector("table.board");
  var heads = Array.prototype.slice.call(table.querySelectorAll("thead .sort"));
  function head(text) { return heads.filter(function (b) { return b.textContent === text; })[0]; }
  out.start = names(table);
  head("accuracy %").click(); out.best = names(table); out.sorted = head("accuracy %").closest("th").getAttribute("aria-sort");
  head("accuracy %").click(); out.worst = names(table);
  head("model").click(); out.names = names(table);
  head("rank").click(); out.again = names(table);
  var search = document.getElementById("search");
  key(document.body, "/"); out.focused = document.activeElement === search;
  search.value = "budget"; search.dispatchEvent(new Event("input")); out.found = names(table);
  out.count = document.getElementById("count").textContent;
  key(search, "Escape"); out.cleared = names(table).length;
  var state = document.getElementById("state");
  state.value = "none"; state.dispatchEvent(new Event("change")); out.none = names(table);
  state.value = "all"; state.dispatchEvent(new Event("change"));
  var more = table.querySelector(".more"), detail = document.getElementById(more.getAttribute("aria-controls"));
  out.closed = detail.hidden; more.focus(); out.reach = document.activeElement === more; more.click();
  out.open = [!detail.hidden, more.getAttribute("aria-expanded"), detail.getBoundingClientRect().height > 50];
  var box = document.querySelector('input.group[value="speed"]');
  function speed() { return Array.prototype.filter.call(table.querySelectorAll('[data-group="speed"]'),
    function (c) { return c.getBoundingClientRect().width > 0; }).length; }
  if (!box.checked) { box.click(); }
  out.speed = speed(); box.click(); out.nospeed = speed(); box.click();
  var before = getComputedStyle(document.body).backgroundColor;
  document.getElementById("theme").click();
  out.theme = [before, getComputedStyle(document.body).backgroundColor];
  out.width = [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  out.requests = performance.getEntriesByType("resource").map(function (e) { return e.name; })
    .filter(function (n) { return n.indexOf("data:") !== 0; });
  out.errors = window.__errors;
  window.__report(out);
})();
