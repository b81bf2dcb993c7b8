// calibrant's protocol for an adapter to a JavaScript library: JSON-RPC 2.0, a message a line.
//
//     const { Absent, library, serve } = require("./protocol.cjs");
//     serve(library("deepbox@1"), (deepbox) => ({ name, operations, tensor, array, ... }));
"use strict";

const { existsSync } = require("node:fs");
const { createRequire } = require("node:module");
const path = require("node:path");

const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr); // the output of a library is no answer

/** A request that the library does not serve. */
class Absent extends Error {}

/** A library, `name@major`, and its version, as npm put them where calibrant was started; or what is missing. */
function library(wanted) {
  const [, name, major] = wanted.match(/^(.+)@(\d+)$/);
  const here = createRequire(path.join(process.cwd(), "calibrant.cjs"));
  const about = here.resolve.paths(name).map((folder) => path.join(folder, name, "package.json")).find(existsSync);
  if (!about) return { missing: `${name} is not installed here: npm install ${wanted}` };
  const { version } = here(about);
  if (version.split(".")[0] !== major) return { missing: `${name} ${version} is installed here: npm install ${wanted}` };
  return { module: here(name), version };
}

const WORDS = { NaN, Infinity, "-Infinity": -Infinity };
const number = (x) => (Object.hasOwn(WORDS, x) ? WORDS[x] : x);
const finite = (x) => (Number.isFinite(x) ? x : String(x));

function received(value, tensor) {
  if (Array.isArray(value)) return value.map((part) => received(part, tensor));
  if (value === null || typeof value !== "object") return number(value);
  if ("dtype" in value && "shape" in value) return tensor(value.data.map(number), value.shape, value.dtype);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, received(part, tensor)]));
}

function sent(value, array) {
  if (Array.isArray(value)) return value.map((part) => sent(part, array));
  if (typeof value === "number") return finite(value);
  if (value === null || typeof value !== "object") return value;
  const { dtype, shape, data } = array(value);
  return { dtype, shape, data: Array.from(data, finite) };
}

/**
 * Answer requests until there are no more.
 *
 * `described(module)` describes the target: `operations`, functions of an object with the arguments' names; `tensor(data, shape, dtype)`,
 * which makes the library's own array; `array(x)`, which says dtype, shape and data of one; `around(f)`, which calls f in a special
 * way, if the library needs one; and all other answers to `initialize`.
 */
function serve({ module, version, missing }, described) {
  const { operations, tensor, array, around = (f) => f(), ...about } = missing ? {} : described(module);

  function called(method, params) {
    if (missing) throw new Error(missing);
    if (method === "initialize") return { version, language: "JavaScript", ...about, operations: Object.keys(operations) };
    if (!Object.hasOwn(operations, method)) throw new Absent(`there is no ${method}`);
    return around(() => sent(operations[method](received(params, tensor)), array));
  }

  function answer({ id, method, params }) {
    try {
      return { jsonrpc: "2.0", id, result: called(method, params) };
    } catch (error) {
      return { jsonrpc: "2.0", id, error: { code: error instanceof Absent ? -32601 : -32000, message: String(error.message) } };
    }
  }

  require("node:readline")
    .createInterface({ input: process.stdin })
    .on("line", (line) => write(JSON.stringify(answer(JSON.parse(line))) + "\n"));
}

/** The learning rate of each of so many steps, from `lr`, which may be a list of as many, a number or missing. */
function rates(lr, steps) {
  const schedule = Array.isArray(lr) ? lr : Array(steps).fill(lr);
  if (schedule.length !== steps) throw new RangeError(`lr has ${schedule.length} rates for ${steps} steps`);
  return schedule;
}

module.exports = { Absent, library, rates, serve };
