"use strict";
// One τ for all scenes: the dial, the languages, and when to draw.
(() => {
  const root = document.getElementById("explorer");
  const byId = (id) => document.getElementById(`explorer-${id}`);
  const { say } = words;
  const scores = scoresScene(byId("scores"));
  const anchor = anchorScene(byId("anchor"));
  const scenes = [scores, anchor, trainingScene(byId("training"))];
  const cloud = document.getElementById("explorer-cloud");
  if (cloud) scenes.push(embeddingsScene(byId("embeddings"), JSON.parse(cloud.textContent)));
  const slider = byId("temperature");
  const ends = { low: root.querySelector(".end.low"), high: root.querySelector(".end.high") };
  let tau = 0.2;
  let waiting = false, pause;

  function drawAll() {
    waiting = false;
    byId("reading").textContent = String(tau);
    slider.setAttribute("aria-valuetext", `τ = ${tau}`);
    for (const button of root.querySelectorAll("[data-temperature]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.temperature) === tau);
    }
    const spoken = scores.draw(tau);
    const found = anchor.draw(tau);
    for (const scene of scenes.slice(2)) scene.draw(tau);
    for (const [name, node] of Object.entries(ends)) node.classList.toggle("reached", found.limit === name);
    clearTimeout(pause); // speak when the hand rests, not at every step of the slider
    pause = setTimeout(() => {
      byId("spoken").textContent = `${say("temperature")} ${tau}. ${spoken} ${found.spoken}`;
    }, 600);
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(drawAll);
  }

  slider.addEventListener("input", () => {
    tau = Number((10 ** slider.valueAsNumber).toPrecision(2));
    draw();
  });
  for (const button of root.querySelectorAll("[data-temperature]")) {
    button.addEventListener("click", () => {
      tau = Number(button.dataset.temperature);
      slider.value = Math.log10(tau);
      draw();
    });
  }
  for (const button of root.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => { words.choose(button.dataset.language); draw(); });
  }
  for (const scene of scenes) scene.listen(draw);
  slider.value = Math.log10(tau);
  words.apply();
  for (const part of root.querySelectorAll(".live")) part.hidden = false;
  draw();
})();
