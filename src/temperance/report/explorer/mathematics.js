"use strict";
// The mathematics of the page: pure functions, which the tests hold against Python.
const mathematics = (() => {
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function softmax(scores, tau) {
    const top = Math.max(...scores);
    const weights = scores.map((score) => Math.exp((score - top) / tau));
    const total = sum(weights);
    return weights.map((weight) => weight / total);
  }

  // log1p on the differences to the target keeps the digits of a tiny loss.
  function crossEntropy(scores, target, tau) {
    const gaps = scores.map((score) => (score - scores[target]) / tau).sort((a, b) => b - a);
    return gaps[0] + Math.log1p(sum(gaps.slice(1).map((gap) => Math.exp(gap - gaps[0]))));
  }

  // The exponential of the entropy: among how many the whole is divided.
  const effectiveNumber = (shares) =>
    Math.exp(-sum(shares.map((share) => (share > 0 ? share * Math.log(share) : 0))));

  // InfoNCE of one anchor: its loss, the probabilities of the negatives, their shares of the push, and
  // the slopes of the loss in the similarities.
  function infoNCE(positive, negatives, tau) {
    const scores = [positive, ...negatives];
    const probabilities = softmax(scores, tau).slice(1);
    const pushes = probabilities.map((p) => p / tau);
    return {
      loss: crossEntropy(scores, 0, tau),
      probabilities,
      shares: softmax(negatives, tau),
      pushes,
      pull: sum(pushes),
    };
  }

  // Points on the sphere are arrays of three numbers a point, one after the other.
  const dot = (points, i, j) =>
    points[3 * i] * points[3 * j] +
    points[3 * i + 1] * points[3 * j + 1] +
    points[3 * i + 2] * points[3 * j + 2];

  function uniformity(points) {
    const n = points.length / 3;
    let total = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) total += Math.exp(4 * dot(points, i, j) - 4);
    return Math.log(total / ((n * (n - 1)) / 2));
  }

  function tolerance(points, classes) {
    let total = 0, pairs = 0;
    for (let i = 0; i < classes.length; i++) {
      for (let j = 0; j < i; j++) {
        if (classes[i] !== classes[j]) continue;
        total += dot(points, i, j);
        pairs++;
      }
    }
    return total / pairs;
  }

  // How many points have a nearest neighbour of their own class.
  function ownClassNearest(points, classes) {
    let right = 0;
    for (let i = 0; i < classes.length; i++) {
      let best = -1, nearest = -2;
      for (let j = 0; j < classes.length; j++) {
        const s = i === j ? -2 : dot(points, i, j);
        if (s > nearest) { nearest = s; best = j; }
      }
      right += classes[best] === classes[i];
    }
    return right / classes.length;
  }

  // The encoder: features times weights, brought to length 1. Returns the points and the lengths.
  function encode(features, weights) {
    const width = weights.length / 3;
    const n = features.length / width;
    const points = new Float64Array(3 * n);
    const lengths = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let x = 0, y = 0, z = 0;
      for (let f = 0; f < width; f++) {
        const value = features[i * width + f];
        x += value * weights[3 * f];
        y += value * weights[3 * f + 1];
        z += value * weights[3 * f + 2];
      }
      lengths[i] = Math.hypot(x, y, z);
      points.set([x / lengths[i], y / lengths[i], z / lengths[i]], 3 * i);
    }
    return { points, lengths };
  }

  // NT-Xent of 2n rows, row i and row i + n two views of one picture; and its gradient in the weights.
  function ntXent(features, weights, tau) {
    const width = weights.length / 3;
    const { points, lengths } = encode(features, weights);
    const rows = lengths.length;
    const totals = new Float64Array(rows);
    const terms = new Float64Array(rows * rows);
    // No cosine is above 1, so that exp((s - 1)/τ) never overflows; at τ ≥ 0.01 no row vanishes either.
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < i; j++) {
        const term = Math.exp((dot(points, i, j) - 1) / tau);
        terms[i * rows + j] = term;
        totals[i] += term;
        totals[j] += term;
      }
    }
    const slopes = new Float64Array(3 * rows); // of the loss in the points
    let loss = 0;
    for (let i = 0; i < rows; i++) {
      const other = (i + rows / 2) % rows;
      loss += Math.log(totals[i]) + (1 - dot(points, i, other)) / tau;
      for (let c = 0; c < 3; c++) slopes[3 * i + c] -= (2 * points[3 * other + c]) / (tau * rows);
      for (let j = 0; j < i; j++) {
        const slope = (terms[i * rows + j] * (1 / totals[i] + 1 / totals[j])) / (tau * rows);
        for (let c = 0; c < 3; c++) {
          slopes[3 * i + c] += slope * points[3 * j + c];
          slopes[3 * j + c] += slope * points[3 * i + c];
        }
      }
    }
    const gradient = new Float64Array(weights.length);
    for (let i = 0; i < rows; i++) {
      let along = 0;
      for (let c = 0; c < 3; c++) along += slopes[3 * i + c] * points[3 * i + c];
      for (let c = 0; c < 3; c++) {
        const slope = (slopes[3 * i + c] - along * points[3 * i + c]) / lengths[i];
        for (let f = 0; f < width; f++) gradient[3 * f + c] += slope * features[i * width + f];
      }
    }
    return { loss: loss / rows, gradient };
  }

  // One step of Adam (Kingma & Ba 2015), in place. Its length does not grow with the gradient's 1/τ.
  function adam(weights, gradient, memory, rate) {
    memory.step += 1;
    for (let i = 0; i < weights.length; i++) {
      memory.mean[i] = 0.9 * memory.mean[i] + 0.1 * gradient[i];
      memory.square[i] = 0.999 * memory.square[i] + 0.001 * gradient[i] ** 2;
      const mean = memory.mean[i] / (1 - 0.9 ** memory.step);
      const square = memory.square[i] / (1 - 0.999 ** memory.step);
      weights[i] -= (rate * mean) / (Math.sqrt(square) + 1e-8);
    }
  }

  // Numbers evenly in 0 to 1 that are the same in every browser (mulberry32), and normal ones.
  function random(seed) {
    let state = seed;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }

  return {
    sum, softmax, crossEntropy, effectiveNumber, infoNCE, uniformity, tolerance, ownClassNearest, encode,
    ntXent, adam, random,
  };
})();
