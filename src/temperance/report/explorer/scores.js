"use strict";
// Three scores and one right answer: probabilities as bars, the loss over τ as a line.
function scoresScene(root) {
  const { softmax, crossEntropy, effectiveNumber, sum } = mathematics;
  const { say } = words;
  const state = { logits: [1, 2, 3], target: 2 };
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const columns = [...root.querySelectorAll(".score")].map((column) => ({
    column,
    score: column.querySelector("input[type=number]"),
    right: column.querySelector("input[type=radio]"),
    value: column.querySelector(".value"),
    bar: column.querySelector(".tower > i"),
  }));
  const chart = drawing.tauChart(part("chart"), { high: 5, ticks: [0, 1, 2, 3, 4, 5] });

  function meaning(probabilities, tau) {
    const { logits, target } = state;
    const found = [];
    if (Math.max(...probabilities) > 0.999) found.push(say("scores-low"));
    else if (effectiveNumber(probabilities) > 0.98 * logits.length) found.push(say("scores-high"));
    // The slope of the loss in τ has the sign of this difference (E7).
    const lead = logits[target] - sum(probabilities.map((p, i) => p * logits[i]));
    if (Math.abs(lead) < 1e-9 * tau) found.push(say("loss-still"));
    else found.push(say(lead > 0 ? "loss-falls" : "loss-rises"));
    return found.join(" ");
  }

  function draw(tau) {
    const { logits, target } = state;
    const probabilities = softmax(logits, tau);
    columns.forEach(({ column, right, value, bar }, i) => {
      column.classList.toggle("target", i === target);
      right.checked = i === target;
      value.textContent = figures.written(probabilities[i]);
      bar.style.height = `${100 * probabilities[i]}%`;
    });
    const loss = crossEntropy(logits, target, tau);
    const forgotten = crossEntropy(logits, target, 1);
    part("loss").textContent = figures.written(loss);
    part("forgotten").textContent = figures.written(forgotten);
    part("meaning").textContent = meaning(probabilities, tau);
    chart.words(say("loss-axis"), say("to-zero"), say("to-infinity"));
    chart.line("forgotten", drawing.TAUS.map(() => forgotten), "var(--muted)", say("forgotten-short"));
    chart.line("loss", drawing.TAUS.map((t) => crossEntropy(logits, target, t)), "var(--accent)", say("loss"));
    chart.move(tau, { loss, forgotten });
    return say("scores-spoken", { loss: figures.written(loss), meaning: part("meaning").textContent });
  }

  function listen(changed) {
    columns.forEach(({ score, right }, i) => {
      score.value = state.logits[i];
      figures.onNumber(score, (value) => { state.logits[i] = value; changed(); });
      right.addEventListener("change", () => { state.target = i; changed(); });
    });
    for (const button of root.querySelectorAll("[data-logits]")) {
      button.addEventListener("click", () => {
        state.logits = button.dataset.logits.split(" ").map(Number);
        state.target = Number(button.dataset.target);
        columns.forEach(({ score }, i) => { score.value = state.logits[i]; });
        changed();
      });
    }
  }

  return { draw, listen };
}
