// Replays a file of calibrant's test vectors on the operations of adapter.js: node vectors.js loss.json
"use strict";

const { readFileSync } = require("node:fs");
const { operations, received, Absent } = require("./adapter.js");

const asArray = (answer) => (typeof answer === "number" ? { shape: [], data: [answer] } : answer);
const sameShape = (one, other) => one.length === other.length && one.every((size, k) => size === other[k]);

// Whether a number is within the allowed error of the one that is due, which was rounded to a decimal.
function near(x, due, allowed) {
  if (due === null) return true;
  if (due === "not finite") return !Number.isFinite(x);
  if (typeof due === "string") return String(x) === due;
  return Math.abs(x - due) <= allowed + 2 ** -53 * Math.abs(due);
}

function agrees(answer, due) {
  if (due === null || typeof due === "string") return answer === due;
  if (Array.isArray(due)) {
    if (due.every(Number.isInteger)) return sameShape(answer, due);
    return answer.length === due.length && due.every((part, k) => agrees(answer[k], part));
  }
  if (!due.shape) return true;
  const { shape, data } = asArray(answer);
  if (!due.data) return sameShape(shape, due.shape);
  const single = data.length === 1 && (due.broadcasts || due.data.length === 1);
  if (!single && !sameShape(shape, due.shape)) return false;
  return due.data.every((x, i) => near(data[single ? 0 : i], x, due.allowed[i]));
}

function outcome({ operation, inputs, error, expected, level }) {
  if (!(operation in operations)) return "absent";
  const wrong = level === "MUST" ? "disagrees" : "warns";
  try {
    const answer = operations[operation](received(inputs));
    return !error && agrees(answer, expected) ? "agrees" : wrong;
  } catch (problem) {
    return problem instanceof Absent ? "absent" : error ? "agrees" : wrong;
  }
}

const counts = { agrees: 0, disagrees: 0, warns: 0, absent: 0 };
for (const one of JSON.parse(readFileSync(process.argv[2], "utf8")).cases) {
  const found = outcome(one);
  counts[found] += 1;
  if (found === "disagrees" || found === "warns") console.log(`${found}: ${one.id}, which is there to reject ${one.flags}`);
}
console.log(Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", "));
process.exitCode = counts.disagrees ? 1 : 0;
