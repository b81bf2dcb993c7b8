"use strict";
// The page works without this script: it filters, copies, and opens what a link points to.
(function () {
  const form = document.querySelector(".filter");
  const [search, status, chapter, shown] = ["search", "status", "chapter", "shown"].map((id) => document.getElementById(id));
  const items = [...document.querySelectorAll(".item")];
  const rows = [...(document.querySelector(".matrix, .clauses")?.querySelectorAll("tr.item") ?? [])];
  const failing = ["error", "broken", "breaks", "stale"];
  const words = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));
  for (const name of new Set(items.map((item) => item.dataset.chapter))) chapter.add(new Option(name, name));

  function filter() {
    const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) {
      const fits = status.value === "" || item.dataset.status === status.value
        || (status.value === "failing" && failing.includes(item.dataset.status));
      const inChapter = chapter.value === "" || item.dataset.chapter === chapter.value;
      item.hidden = !(fits && inChapter && asked.every((word) => words.get(item).includes(word)));
    }
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = left === rows.length ? `${rows.length} clauses` : `${left} of ${rows.length} clauses`;
  }

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) {
      if (part.matches("details")) part.open = true;
      part.hidden = false;
    }
    if (target) (target.closest(".failure") || target).scrollIntoView();
  }

  async function copy(event) {
    const button = event.currentTarget;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // no permission: selected, it is one key away
      getSelection().selectAllChildren(code);
    }
    button.textContent = getSelection().isCollapsed ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", copy);
  }
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
  filter();
  if (location.hash) reveal();
})();
