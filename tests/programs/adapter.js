// The mechanics of learning in plain JavaScript, called by calibrant: JSON-RPC 2.0, a message a line.
"use strict";

// Arrays: a row of doubles, each rounded to its dtype; what is computed between two roundings is computed in float64.

const rounded = { float32: Math.fround, float64: (x) => x };
const words = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

const array = (dtype, shape, data) => ({ dtype, shape, data: data.map(rounded[dtype]) });
const like = (x, data) => array(x.dtype, x.shape, data);
const scalar = (x, value) => array(x.dtype, [], [value]);
const pair = (x, ...values) => array(x.dtype, [values.length], values);
const same = (one, other) => one.length === other.length && one.every((size, k) => size === other[k]);

function requireSameShape(t_p, t_c) {
  if (!same(t_p.shape, t_c.shape) || t_p.data.length === 0)
    throw new RangeError(`t_p is (${t_p.shape}) and t_c is (${t_c.shape}): a loss needs samples of one shape`);
}

function requireColumns(t_u, t_c) {
  if (t_u.shape.length !== 1) throw new RangeError(`t_u is (${t_u.shape}): data are two columns of one length`);
  requireSameShape(t_u, t_c);
}

function requireNumber(name, value, least) {
  if (!(value >= least)) throw new RangeError(`${name} is ${value}: it must be at least ${least}`);
}

// Divided before the sum, so that only the mean needs to fit the dtype.
const mean = (values) => values.reduce((sum, value) => sum + value / values.length, 0);
const residuals = (t_p, t_c) => t_p.data.map((value, i) => value - t_c.data[i]);

function model({ t_u, w, b }) {
  return like(t_u, t_u.data.map((x) => rounded[t_u.dtype](w.data[0] * x) + b.data[0]));
}

function loss_fn({ t_p, t_c }) {
  requireSameShape(t_p, t_c);
  return scalar(t_p, mean(residuals(t_p, t_c).map((r) => r * r)));
}

function absolute_loss({ t_p, t_c }) {
  requireSameShape(t_p, t_c);
  return scalar(t_p, mean(residuals(t_p, t_c).map(Math.abs)));
}

function dloss_fn({ t_p, t_c }) {
  requireSameShape(t_p, t_c);
  return like(t_p, residuals(t_p, t_c).map((r) => (2 * r) / t_p.data.length));
}

const dmodel_dw = ({ t_u }) => t_u;
const dmodel_db = ({ t_u }) => like(t_u, t_u.data.map(() => 1));

function grad_fn({ t_u, t_c, t_p }) {
  const dloss = dloss_fn({ t_p, t_c }).data;
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return pair(t_u, sum(dloss.map((d, i) => d * t_u.data[i])), sum(dloss));
}

const unpacked = (params) => params.data.map((value) => scalar(params, value));

function gradient(params, t_u, t_c) {
  const [w, b] = unpacked(params);
  return grad_fn({ t_u, t_c, t_p: model({ t_u, w, b }) });
}

function training_loop({ n_epochs, optimizer, params, t_u, t_c, val_t_u, val_t_c }) {
  const { name, lr, ...others } = optimizer;
  if (name !== "sgd" || typeof lr !== "number" || Object.keys(others).length > 0)
    throw new Absent(`only plain sgd at one rate, not ${JSON.stringify(optimizer)}`);
  requireNumber("n_epochs", n_epochs, 0);
  requireNumber("lr", lr, 0);
  if (!Number.isFinite(lr)) throw new RangeError(`lr is ${lr}`);
  requireColumns(t_u, t_c);
  if (val_t_u || val_t_c) {
    if (!val_t_u || !val_t_c) throw new RangeError("val_t_u and val_t_c come together");
    requireColumns(val_t_u, val_t_c);
  }
  const loss = (params, t_u, t_c) => {
    const [w, b] = unpacked(params);
    return loss_fn({ t_p: model({ t_u, w, b }), t_c }).data[0];
  };
  const train = [], val = [];
  for (let epoch = 0; epoch < n_epochs; epoch++) {
    train.push(loss(params, t_u, t_c));
    if (val_t_u) val.push(loss(params, val_t_u, val_t_c));
    const grad = gradient(params, t_u, t_c).data;
    params = like(params, params.data.map((value, k) => value - rounded[params.dtype](lr * grad[k])));
  }
  return [params, array(params.dtype, [train.length], train), array(params.dtype, [val.length], val)];
}

// Automatic differentiation: a tape of numbers, each with its operands and the derivative by each of them.

const rules = {
  "+": (x, y) => [x + y, 1, 1],
  "-": (x, y) => [x - y, 1, -1],
  "*": (x, y) => [x * y, y, x],
  "/": (x, y) => [x / y, 1 / y, -x / (y * y)],
  "**": (x, y) => [x ** y, y * x ** (y - 1), x ** y * Math.log(x)],
  exp: (x) => [Math.exp(x), Math.exp(x)],
  log: (x) => [Math.log(x), 1 / x],
  tanh: (x) => [Math.tanh(x), 1 - Math.tanh(x) ** 2],
  maximum: (x, y) => [Math.max(x, y), x > y ? 1 : 0, x > y ? 0 : 1],
};

// Runs a straight-line program: a column is a list of nodes.
function record({ instructions, result }, params) {
  const round = rounded[params.dtype];
  const leaf = (value) => ({ value, operands: [], slopes: [] });
  const leaves = params.data.map(leaf), tape = [...leaves], values = [leaves];
  const made = (name, ...operands) => {
    const [value, ...slopes] = rules[name](...operands.map((x) => x.value));
    tape.push({ value: round(value), operands, slopes });
    return tape.at(-1);
  };
  const each = (name, ...operands) => {
    const column = operands.find(Array.isArray);
    if (!column) return made(name, ...operands);
    return column.map((_, i) => made(name, ...operands.map((x) => (Array.isArray(x) ? x[i] : x))));
  };
  for (const [name, x, ...others] of instructions) {
    const column = values[x];
    if (name === "constant") values.push(leaf(x));
    else if (name === "index") values.push(column[others[0]]);
    else if (name === "sum") values.push(column.reduce((sum, y) => made("+", sum, y)));
    else if (name === "mean") values.push(made("/", column.reduce((sum, y) => made("+", sum, y)), leaf(column.length)));
    else if (name in rules) values.push(each(name, column, ...others.map((k) => values[k])));
    else throw new Absent(`there is no instruction ${name}`);
  }
  return { round, leaves, tape, results: [result].flat().map((k) => values[k]) };
}

function walk({ round, leaves, tape }, end) {
  for (const node of tape) node.grad = 0;
  end.grad = 1;
  for (const { grad, operands, slopes } of tape.toReversed())
    operands.forEach((x, k) => (x.grad = round(x.grad + round(grad * slopes[k]))));
  return leaves.map((x) => x.grad);
}

function automatic_gradient({ loss, params }) {
  const graph = record(loss, params), [end] = graph.results;
  return [scalar(params, end.value), like(params, walk(graph, end))];
}

const added = (found, gradient) => (found ? like(found, found.data.map((x, k) => x + gradient.data[k])) : gradient);

function backward({ losses, params, zero_grad }) {
  let grad = null;
  return losses.map((loss) => {
    const found = zero_grad === "to-none" || !grad ? null : zero_grad === "to-zero" ? like(grad, grad.data.map(() => 0)) : grad;
    grad = added(found, automatic_gradient({ loss, params })[1]);
    return [found, grad];
  });
}

function backward_shared({ losses, params, order }) {
  const graph = record(losses, params);
  let grad = null;
  return order.map((k) => (grad = added(grad, like(params, walk(graph, graph.results[k])))));
}

function descend({ loss, params, learning_rate, n_steps, no_grad }) {
  if (n_steps && !no_grad) throw new RangeError("a leaf that requires grad is changed in place");
  return Array.from({ length: n_steps }, () => {
    const [value, grad] = automatic_gradient({ loss, params });
    params = like(params, params.data.map((x, k) => x - rounded[params.dtype](learning_rate * grad.data[k])));
    return [value, grad, params];
  });
}

function evaluate({ loss, params, is_train }) {
  const [value, grad] = automatic_gradient({ loss, params });
  return [value, is_train ? grad : null];
}

function difference_gradient({ loss, params, delta }) {
  const at = (k, step) => record(loss, like(params, params.data.map((x, i) => (i === k ? x + step : x)))).results[0].value;
  const [h] = delta.data;
  return like(params, params.data.map((_, k) => (at(k, h) - at(k, -h)) / (2 * h)));
}

function broadcast_shapes({ shapes }) {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = Array(rank).fill(1);
  for (const shape of shapes)
    shape.forEach((size, k) => {
      const axis = rank - shape.length + k;
      if (size !== 1 && result[axis] !== 1 && result[axis] !== size)
        throw new RangeError(`the shapes ${JSON.stringify(shapes)} do not broadcast: ${size} against ${result[axis]}`);
      if (size !== 1) result[axis] = size;
    });
  return result;
}

// Where each element of a result of that shape comes from in x.
function sources(x, shape) {
  const steps = Array(shape.length).fill(0);
  let step = 1;
  for (let k = x.shape.length - 1; k >= 0; k--) {
    steps[shape.length - x.shape.length + k] = x.shape[k] === 1 ? 0 : step;
    step *= x.shape[k];
  }
  const size = shape.reduce((product, n) => product * n, 1);
  return Array.from({ length: size }, (_, flat) => {
    let place = 0;
    for (let k = shape.length - 1; k >= 0; k--) {
      place += (flat % shape[k]) * steps[k];
      flat = Math.floor(flat / shape[k]);
    }
    return place;
  });
}

function multiply({ x, y }) {
  const shape = broadcast_shapes({ shapes: [x.shape, y.shape] });
  const ofX = sources(x, shape), ofY = sources(y, shape);
  return array(x.dtype, shape, ofX.map((place, i) => x.data[place] * y.data[ofY[i]]));
}

function multiply_grad({ x, y, upstream }) {
  const shape = broadcast_shapes({ shapes: [x.shape, y.shape] });
  if (!same(shape, upstream.shape)) throw new RangeError(`upstream is (${upstream.shape}), not (${shape})`);
  const ofX = sources(x, shape), ofY = sources(y, shape);
  const byX = x.data.map(() => 0), byY = y.data.map(() => 0);
  upstream.data.forEach((value, i) => {
    byX[ofX[i]] += value * y.data[ofY[i]];
    byY[ofY[i]] += value * x.data[ofX[i]];
  });
  return [like(x, byX), like(y, byY)];
}

function batchGradients(params, batches) {
  if (batches.length === 0) throw new RangeError("batches is empty: there is nothing to accumulate");
  for (const [t_u, t_c] of batches) requireColumns(t_u, t_c);
  return batches.map(([t_u, t_c]) => gradient(params, t_u, t_c).data);
}

function accumulate({ params, batches, zero_grad }) {
  const rows = batchGradients(params, batches);
  const sum = [0, 0];
  const kept = rows.map((row) => {
    row.forEach((value, k) => (sum[k] = zero_grad ? value : rounded[params.dtype](sum[k] + value)));
    return [...sum];
  });
  return array(params.dtype, [rows.length, 2], kept.flat());
}

function accumulated_grad({ params, batches }) {
  const rows = batchGradients(params, batches);
  const total = batches.reduce((sum, [t_u]) => sum + t_u.data.length, 0);
  const weighted = (k) => rows.reduce((sum, row, i) => sum + row[k] * (batches[i][0].data.length / total), 0);
  return pair(params, weighted(0), weighted(1));
}

function early_stopping({ val_losses, patience }) {
  requireNumber("the number of losses", val_losses.data.length, 1);
  requireNumber("patience", patience, 1);
  let best = 0, lowest = Infinity, since = 0;
  for (let epoch = 0; epoch < val_losses.data.length; epoch++) {
    since += 1;
    if (Number.isFinite(val_losses.data[epoch]) && val_losses.data[epoch] < lowest) [best, lowest, since] = [epoch, val_losses.data[epoch], 0];
    if (since >= patience) return [epoch, best];
  }
  return [val_losses.data.length - 1, best];
}

function diagnose({ train_losses, val_losses }) {
  const train = train_losses.data, val = val_losses.data;
  if (train.length === 0 || train.length !== val.length) throw new RangeError("as many losses of either kind are due");
  if (![...train, ...val].every(Number.isFinite)) throw new RangeError("a run that diverged has no diagnosis");
  const best = val.indexOf(Math.min(...val)), last = val.length - 1;
  if (train[last] < train[best] && val[last] > val[best] * 1.125) return "overfitting";
  return train[last] > train[0] / 8 ? "underfitting" : "good";
}

const operations = {
  model, loss_fn, absolute_loss, dloss_fn, dmodel_dw, dmodel_db, grad_fn, training_loop, broadcast_shapes,
  multiply, multiply_grad, accumulate, accumulated_grad, early_stopping, diagnose,
  automatic_gradient, backward, backward_shared, descend, evaluate, difference_gradient,
};

// The protocol: what comes in becomes arrays, what goes out becomes JSON; `null` and what is no array stays as it is.

class Absent extends Error {}

function received(value) {
  if (Array.isArray(value)) return value.map(received);
  if (value === null || typeof value !== "object") return Object.hasOwn(words, value) ? words[value] : value;
  if ("dtype" in value) return { ...value, data: value.data.map(received) };
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, received(part)]));
}

function sent(value) {
  if (Array.isArray(value)) return value.map(sent);
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value && value.data ? { ...value, data: value.data.map(sent) } : value;
}

function answer({ id, method, params }) {
  try {
    if (method === "initialize") {
      const about = { name: "plain JavaScript", version: process.version, language: "JavaScript", functions: "straight-line" };
      return { jsonrpc: "2.0", id, result: { ...about, operations: Object.keys(operations) } };
    }
    if (!Object.hasOwn(operations, method)) throw new Absent(`there is no ${method}`);
    return { jsonrpc: "2.0", id, result: sent(operations[method](received(params))) };
  } catch (error) {
    return { jsonrpc: "2.0", id, error: { code: error instanceof Absent ? -32601 : -32000, message: error.message } };
  }
}

if (require.main === module)
  require("node:readline")
    .createInterface({ input: process.stdin })
    .on("line", (line) => process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n"));

module.exports = { operations, received, Absent };
