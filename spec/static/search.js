// The names of clauses have dots, which mean something else in a selector: without this a result in the search has no excerpt.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const text = Search.htmlToText;
  Search.htmlToText = (page, anchor) => text(page, anchor && "#" + CSS.escape(anchor.slice(1)));
});
