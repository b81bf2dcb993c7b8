// deepbox as its users call it: its own losses, autograd, optimizers and helpers of training. Nothing here computes.
"use strict";

const { Absent, library, rates, serve } = require("./protocol.cjs");

serve(library("deepbox@1"), ({ linalg, ml, ndarray, nn, optim, preprocess }) => {
  const { GradTensor, noGrad, parameter, tensor } = ndarray;
  const copy = (x) => (x instanceof GradTensor ? ndarray.clone(x.tensor) : ndarray.clone(x));
  const leaf = (x) => parameter(copy(x));
  const fixed = (x) => GradTensor.fromTensor(x);
  const number = (x, dtype) => GradTensor.scalar(x, { dtype });

  const line = (t_u, w, b) => fixed(t_u).mul(w).add(b);
  const loss = (params, t_u, t_c, reduction) => nn.mseLoss(line(t_u, params.slice(0), params.slice(1)), fixed(t_c), reduction);

  // A loss, and the gradient that its backward pass leaves in each leaf.
  function gradients(value, ...leaves) {
    value.backward();
    return [value.tensor, ...leaves.map((one) => one.grad)];
  }

  // A split of rows, and of a column that goes with them. Deepbox makes no part without rows.
  function splitted(rows, column, fraction, seed) {
    if (fraction === 0) throw new Absent("deepbox holds out one row at least");
    try {
      return preprocess.trainTestSplit(rows.reshape([rows.size, 1]), column, { testSize: fraction, randomState: seed });
    } catch (error) {
      throw /at least 1 sample/.test(error.message) ? new Absent(error.message) : error;
    }
  }

  // Optimizers: class, defaults of torch.optim, and deepbox's names for its hyperparameters.

  const COMMON = { lr: "lr", eps: "eps", weight_decay: "weightDecay", betas: ["beta1", "beta2"] };
  const ADAM = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 };
  const OPTIMIZERS = {
    sgd: ["SGD", { lr: 1e-3, weight_decay: 0 }, { momentum: "momentum", dampening: "dampening", nesterov: "nesterov" }],
    adam: ["Adam", ADAM, { amsgrad: "amsgrad" }],
    adamw: ["AdamW", { ...ADAM, weight_decay: 1e-2 }, { amsgrad: "amsgrad" }],
    rmsprop: ["RMSprop", { lr: 1e-2, alpha: 0.99, eps: 1e-8 }, { alpha: "alpha", momentum: "momentum", centered: "centered" }],
    adagrad: ["Adagrad", { lr: 1e-2, eps: 1e-10 }, { lr_decay: "lrDecay" }],
    adadelta: ["AdaDelta", { lr: 1, rho: 0.9, eps: 1e-6 }, { rho: "rho" }],
    adamax: ["Adamax", { ...ADAM, lr: 2e-3 }, {}],
    nadam: ["Nadam", { ...ADAM, lr: 2e-3, momentum_decay: 4e-3 }, { momentum_decay: "momentumDecay" }],
    radam: ["RAdam", ADAM, {}],
    asgd: ["ASGD", { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6 }, { lambd: "lambda", alpha: "alpha", t0: "t0" }],
    rprop: ["Rprop", { lr: 1e-2 }, { etas: ["etaMinus", "etaPlus"], step_sizes: ["stepMin", "stepMax"] }],
  };

  const LACKING = { // what torch.optim's optimizers of these names have
    maximize: Object.keys(OPTIMIZERS),
    decoupled_weight_decay: ["adam", "nadam", "radam"],
    initial_accumulator_value: ["adagrad"],
  };
  const NOT_TAKEN = { eps: 0, rho: 1 };

  function optimizer(name, hyperparameters, params) {
    if (!Object.hasOwn(OPTIMIZERS, name)) throw new Absent(`deepbox has no ${name}`);
    const [type, defaults, own] = OPTIMIZERS[name];
    const words = { ...COMMON, ...own }, options = {};
    for (const [given, value] of Object.entries({ ...defaults, ...hyperparameters })) {
      const lacking = LACKING[given]?.includes(name);
      if (lacking && !value) continue;
      if (lacking || value === NOT_TAKEN[given]) throw new Absent(`deepbox's ${type} has no ${given} of ${value}`);
      const word = words[given] ?? given;
      if (Array.isArray(word)) word.forEach((part, k) => (options[part] = value[k]));
      else options[word] = value;
    }
    return new optim[type](params, options);
  }

  const unequal = "with a gradient its losses broadcast, without one they reshape; that of no samples is NaN";
  const refused = "a gradient that is not finite is refused with an error";
  const product = "the product that is rounded up is the one of float64, which may be just above a whole number";
  const widened = "the parameters of a fit are returned in float64, whatever the dtype of the columns";
  const deviations = {
    "data.shapes": unequal,
    "data.columns": unequal,
    "loss.same-shape": unequal,
    "loss.empty": unequal,
    "validation.shapes": unequal,
    "validation.columns": unequal,
    "accumulation.same-shape": unequal,
    "accumulation.refused": unequal + "; without batches there is no gradient",
    "loss.dtype": "the mean of a tensor of float32 is one of float64",
    "loss.wide-accumulation": "the mean is a sum in float64 that may overflow, times 1 / n",
    "descent.diverges": refused,
    "descent.raw-diverges": refused,
    "descent.negative-rate": "a loop up to a negative number of epochs runs none",
    "data.scaling?": "lstsq drops a singular value that is tiny beside the largest, as that of large readings is, though they differ",
    "data.dtype": widened,
    "regularization.dtype": widened,
    "optimizer.invalid": "factors of Rprop and a first sum of Adagrad that are NaN are taken",
    "optimizer.unknown": "options that it does not know are ignored",
    "split.as-written": product,
    "split.invalid": "a testSize of 1 or more is a number of rows",
    "split.empty-part": "a testSize of 1 is one row",
    "regularization.ridge": "Ridge solves in float32, whatever the dtype of the columns",
    "early-stopping.nan": "minus infinity counts as the lowest loss, which nothing improves on",
    "early-stopping.invalid": "EarlyStopping is told each loss by itself, and none of them is no call",
  };

  const operations = {
    model: ({ t_u, w, b }) => line(t_u, fixed(w), fixed(b)),
    loss_fn: ({ t_p, t_c }) => nn.mseLoss(t_p, t_c),
    absolute_loss: ({ t_p, t_c }) => nn.maeLoss(t_p, t_c),

    dloss_fn({ t_p, t_c }) {
      const at = leaf(t_p);
      return gradients(nn.mseLoss(at, fixed(t_c)), at)[1];
    },

    dabsolute_loss({ t_p, t_c }) {
      const at = leaf(t_p);
      return gradients(nn.maeLoss(at, fixed(t_c)), at)[1];
    },

    value_and_grad({ params, t_u, t_c }) {
      const at = leaf(params);
      return gradients(loss(at, t_u, t_c), at);
    },

    calc_forward({ params, t_u, t_c, is_train }) {
      const at = leaf(params);
      if (is_train) return gradients(loss(at, t_u, t_c), at);
      const value = noGrad(() => loss(at, t_u, t_c));
      value.backward();
      return [value, at.grad];
    },

    least_squares: ({ t_u, t_c }) => linalg.lstsq(ndarray.stack([t_u, ndarray.onesLike(t_u)], 1), t_c).x,

    training_loop({ n_epochs, optimizer: { name, ...hyperparameters }, params, t_u, t_c, val_t_u, val_t_c }) {
      const at = leaf(params), stepper = optimizer(name, hyperparameters, [at]);
      const train = [], val = [];
      for (let epoch = 0; epoch < n_epochs; epoch++) {
        const value = loss(at, t_u, t_c);
        train.push(value);
        if (val_t_u && val_t_c) val.push(noGrad(() => loss(at, val_t_u, val_t_c)));
        stepper.zeroGrad();
        value.backward();
        stepper.step();
      }
      return [at, train, val];
    },

    multiply: ({ x, y }) => ndarray.mul(x, y),

    expand({ x, shape }) {
      const wide = ndarray.broadcastTo(x, shape);
      return [wide, [...wide.strides], Number(wide.data === x.data)];
    },

    multiply_grad({ x, y, upstream }) {
      const left = leaf(x), right = leaf(y);
      left.mul(right).backward(upstream);
      return [left.grad, right.grad];
    },

    accumulate({ params, batches, zero_grad }) {
      const at = leaf(params);
      return batches.map(([t_u, t_c]) => {
        if (zero_grad) at.zeroGrad();
        loss(at, t_u, t_c).backward();
        return copy(at.grad);
      });
    },

    accumulated_grad({ params, batches }) {
      const at = leaf(params);
      const n = batches.reduce((sum, [t_u]) => sum + t_u.size, 0);
      for (const [t_u, t_c] of batches) loss(at, t_u, t_c, "sum").div(number(n, params.dtype)).backward();
      return at.grad;
    },

    optimize({ name, hyperparameters: { lr, ...others }, params, grads }) {
      if (grads.flat().includes(null)) throw new Absent("deepbox's optimizers demand a gradient of every parameter");
      const leaves = params.map(leaf), schedule = rates(lr, grads.length);
      const stepper = optimizer(name, schedule[0] === undefined ? others : { lr: schedule[0], ...others }, leaves);
      return grads.map((step, t) => {
        if (schedule[t] !== undefined) stepper.setLearningRate(schedule[t]);
        step.forEach((grad, k) => leaves[k].setGrad(grad));
        stepper.step();
        return leaves.map(copy);
      });
    },

    split: ({ n_samples, val_fraction, seed }) =>
      splitted(ndarray.arange(0, n_samples), undefined, val_fraction, seed).map((part) => part.flatten()),

    split_data({ t_u, t_c, val_fraction, seed }) {
      const [trainX, valX, trainY, valY] = splitted(t_u, t_c, val_fraction, seed);
      return [trainX.flatten(), trainY, valX.flatten(), valY];
    },

    validation_loss({ params, t_u, t_c }) {
      const value = noGrad(() => loss(leaf(params), t_u, t_c));
      return [value, Number(value.requiresGrad)];
    },

    // deepbox's Ridge adds alpha times the square of the slope to the sum of the squares, not to their mean.
    ridge({ t_u, t_c, l2 }) {
      const fit = new ml.Ridge({ alpha: l2 * t_u.size }).fit(t_u.reshape([t_u.size, 1]), t_c);
      return [fit.coef.at(0), fit.intercept];
    },

    early_stopping({ val_losses, patience }) {
      const watch = new nn.EarlyStopping({ patience });
      const losses = val_losses.toArray();
      const stopped = losses.findIndex((value) => watch.step(value));
      return [stopped < 0 ? losses.length - 1 : stopped, watch.bestEpochNum - 1];
    },
  };

  return {
    name: "deepbox",
    conventions: {
      "rmsprop.centered-epsilon": "inside",
      "adamax.epsilon": "outside",
      "radam.epsilon": "outside",
      "split.rounding": "up",
    },
    deviations,
    operations,
    tensor: (data, shape, dtype) => tensor(data, { dtype }).reshape(shape),
    array: (x) => ({ dtype: x.dtype, shape: [...x.shape], data: [x.toArray()].flat(Infinity) }),
  };
});
