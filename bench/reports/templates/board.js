(function () {
  "use strict";
  var all = function (selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); };
  var search = document.getElementById("search");
  var state = document.getElementById("state");
  var count = document.getElementById("count");

  function compare(a, b, down) {
    if (a === "" || b === "") { return a === b ? 0 : a === "" ? 1 : -1; }
    var x = Number(a), y = Number(b);
    var order = isNaN(x) || isNaN(y) ? a.localeCompare(b, "en") : x - y;
    return down ? -order : order;
  }

  function sortBy(button) {
    var head = button.closest("th"), table = button.closest("table");
    var index = Array.prototype.indexOf.call(head.parentNode.children, head);
    var down = head.getAttribute("aria-sort") === "ascending";
    if (!head.hasAttribute("aria-sort") && head.classList.contains("num") && index > 0) { down = true; }
    all("th", head.parentNode).forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var foot = table.querySelector("tfoot");
    all("tbody.entry", table)
      .map(function (body, place) { return { body: body, place: place, key: body.rows[0].children[index].dataset.order || "" }; })
      .sort(function (a, b) { return compare(a.key, b.key, down) || a.place - b.place; })
      .forEach(function (item) { table.insertBefore(item.body, foot); });
  }

  function filter() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0, total = 0;
    all("tbody.entry").forEach(function (body) {
      var text = body.textContent.toLowerCase(), kind = body.dataset.state;
      var right = state.value === "all" || kind === state.value || (state.value === "result" && kind === "ranked");
      var good = right && words.every(function (word) { return text.indexOf(word) >= 0; });
      body.hidden = !good;
      total += 1;
      if (good) { shown += 1; }
    });
    count.textContent = shown === total ? "" : shown + " of " + total + " rows shown";
  }

  function columns() {
    all("input.group").forEach(function (box) {
      all('[data-group="' + box.value + '"]').forEach(function (cell) { cell.toggleAttribute("data-off", !box.checked); });
    });
  }

  function dark() {
    var chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) { return; }
    if (button.classList.contains("sort")) { sortBy(button); }
    if (button.classList.contains("more")) {
      var open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      document.getElementById(button.getAttribute("aria-controls")).hidden = open;
    }
    if (button.id === "theme") { document.documentElement.dataset.theme = dark() ? "light" : "dark"; }
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && event.target === search) { search.value = ""; filter(); }
  });
  search.addEventListener("input", filter);
  state.addEventListener("change", filter);
  all("input.group").forEach(function (box) { box.addEventListener("change", columns); });
  if (window.matchMedia("(max-width: 640px)").matches) {
    var first = document.querySelector('input.group[value="score"]') ? "score" : "speed";
    all("input.group").forEach(function (box) { box.checked = box.value === first; });
  }
  columns();
  filter();
})();
