"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const { positive, negatives } = JSON.parse(byId("explain-data").textContent);
  const state = { temperature: 0.5, logits: [1, 2, 3], target: 2, positive };
  const classes = [...byId("classes").rows].map((row) => ({
    row,
    score: row.querySelector("input[type=number]"),
    right: row.querySelector("input[type=radio]"),
    value: row.querySelector(".value"),
    bar: row.querySelector(".bar > i"),
  }));
  const rows = [...byId("negatives").rows].map((row) => {
    const [share, push] = row.querySelectorAll(".value");
    const [shareBar, pushBar] = row.querySelectorAll(".bar > i");
    return { share, push, shareBar, pushBar };
  });

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function softmax(scores, temperature) {
    const top = Math.max(...scores);
    const weights = scores.map((score) => Math.exp((score - top) / temperature));
    return weights.map((weight) => weight / sum(weights));
  }

  // log1p on the differences to the target keeps the digits of a tiny loss.
  function crossEntropy(scores, target, temperature) {
    const gaps = scores.map((score) => (score - scores[target]) / temperature).sort((a, b) => b - a);
    return gaps[0] + Math.log1p(sum(gaps.slice(1).map((gap) => Math.exp(gap - gaps[0]))));
  }

  // The exponential of the entropy: among how many the whole is divided.
  const effectiveNumber = (shares) =>
    Math.exp(-sum(shares.map((share) => (share > 0 ? share * Math.log(share) : 0))));

  function figure(value) {
    if (value > 0 && value < 5e-4) return value.toExponential(4);
    return value.toFixed(value > 0.9999 && value < 1 ? 5 : 4);
  }

  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  const setBar = (bar, share) => { bar.style.width = `${100 * Math.min(share, 1)}%`; };

  function softmaxWords(probabilities) {
    const { logits, target, temperature } = state;
    const words = [];
    if (Math.max(...probabilities) > 0.999) {
      words.push("Close to the limit τ → 0: the highest score takes everything.");
    } else if (effectiveNumber(probabilities) > 0.98 * logits.length) {
      words.push("Close to the limit τ → ∞: all classes alike, and the loss tends to log 3 = 1.0986.");
    }
    // The slope of the loss in the temperature has the sign of this difference.
    const lead = logits[target] - sum(probabilities.map((p, i) => p * logits[i]));
    if (Math.abs(lead) < 1e-9 * temperature) words.push("Another temperature hardly changes this loss.");
    else words.push(`At a slightly lower temperature this loss ${lead > 0 ? "falls" : "rises"}.`);
    return words.join(" ");
  }

  function drawSoftmax() {
    const { logits, target, temperature } = state;
    const probabilities = softmax(logits, temperature);
    classes.forEach(({ row, right, value, bar }, i) => {
      row.classList.toggle("target", i === target);
      right.checked = i === target;
      value.textContent = figure(probabilities[i]);
      setBar(bar, probabilities[i]);
    });
    const loss = figure(crossEntropy(logits, target, temperature));
    const undivided = figure(crossEntropy(logits, target, 1));
    byId("loss").textContent = loss;
    byId("undivided-loss").textContent = undivided;
    const words = softmaxWords(probabilities);
    byId("softmax-words").textContent = words;
    return `Three scores: loss ${loss}, without the temperature ${undivided}. ${words}`;
  }

  function negativesWords(effective, pull) {
    const words = [];
    if (effective < 1.5) {
      words.push("Close to the limit τ → 0: the hardest negative has nearly all of the push, as in a",
        "triplet loss on the hardest negative.");
    } else if (effective > 0.98 * negatives.length) {
      words.push("Close to the limit τ → ∞: all negatives are pushed alike, however easy. This is the",
        "simple loss, which cannot tell hard from easy.");
    } else {
      words.push(`The push is shared as if among ${effective.toFixed(1)} of ${negatives.length} negatives.`);
    }
    if (pull < 0.05) words.push("The positive already stands apart, so there is hardly any push left to share.");
    return words.join(" ");
  }

  function drawNegatives() {
    const { temperature } = state;
    const similarities = negatives.map(({ similarity }) => similarity);
    const shares = softmax(similarities, temperature);
    const candidates = [state.positive, ...similarities];
    const pushes = softmax(candidates, temperature).slice(1).map((p) => p / temperature);
    const pull = sum(pushes);
    const full = 8 * 2 ** Math.max(0, Math.ceil(Math.log2(pull / 8)));
    rows.forEach(({ share, push, shareBar, pushBar }, i) => {
      share.textContent = percent(shares[i]);
      push.textContent = pushes[i].toFixed(2);
      setBar(shareBar, shares[i]);
      setBar(pushBar, pushes[i] / full);
    });
    byId("pull").textContent = pull.toFixed(2);
    setBar(byId("pull-bar"), pull / full);
    byId("full-push").textContent = full;
    const effective = effectiveNumber(shares);
    const falseShare = percent(sum(shares.filter((_, i) => negatives[i].kind === "false")));
    byId("contrastive-loss").textContent = figure(crossEntropy(candidates, 0, temperature));
    byId("effective-negatives").textContent = `${effective.toFixed(1)} of ${negatives.length}`;
    byId("false-share").textContent = falseShare;
    const words = negativesWords(effective, pull);
    byId("negatives-words").textContent = words;
    return `The letter O: pull ${pull.toFixed(2)}, false negative ${falseShare}. ${words}`;
  }

  let pause;
  function draw() {
    const { temperature } = state;
    byId("temperature-value").textContent = temperature;
    byId("temperature").setAttribute("aria-valuetext", `τ = ${temperature}`);
    for (const button of document.querySelectorAll("[data-temperature]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.temperature) === temperature);
    }
    const spoken = `Temperature ${temperature}. ${drawSoftmax()} ${drawNegatives()}`;
    clearTimeout(pause); // speak when the hand rests, not at every step of the slider
    pause = setTimeout(() => { byId("spoken").textContent = spoken; }, 600);
  }

  // Reads a number field; while it holds none, the last number stays in force.
  function onNumber(input, set) {
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      input.setAttribute("aria-invalid", !Number.isFinite(value));
      if (!Number.isFinite(value)) return;
      set(Math.min(Math.max(value, Number(input.min)), Number(input.max)));
      draw();
    });
  }

  function showScores() {
    classes.forEach(({ score }, i) => { score.value = state.logits[i]; });
  }

  byId("temperature").addEventListener("input", (event) => {
    const value = Number((10 ** event.target.valueAsNumber).toPrecision(2));
    state.temperature = value;
    draw();
  });
  for (const button of document.querySelectorAll("[data-temperature]")) {
    button.addEventListener("click", () => {
      state.temperature = Number(button.dataset.temperature);
      byId("temperature").value = Math.log10(state.temperature);
      draw();
    });
  }
  for (const button of document.querySelectorAll("[data-logits]")) {
    button.addEventListener("click", () => {
      state.logits = button.dataset.logits.split(" ").map(Number);
      state.target = Number(button.dataset.target);
      showScores();
      draw();
    });
  }
  classes.forEach(({ score, right }, i) => {
    onNumber(score, (value) => { state.logits[i] = value; });
    right.addEventListener("change", () => { state.target = i; draw(); });
  });
  onNumber(byId("positive"), (value) => { state.positive = value; });

  byId("positive").value = positive;
  byId("temperature").value = Math.log10(state.temperature);
  showScores();
  draw();
  byId("explorer").hidden = false;
})();
