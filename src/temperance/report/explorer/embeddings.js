"use strict";
// The user's own embeddings: a sample of them as a cloud, and what τ does around one of them.
function embeddingsScene(root, cloud) {
  const { softmax, effectiveNumber, sum } = mathematics;
  const { element, set } = drawing;
  const { say } = words;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const n = cloud.rows.length;
  const HARDEST = 6, LINES = 24;

  // Cosines of all pairs i > j, row after row, as little-endian integers of two bytes.
  const bytes = Uint8Array.from(atob(cloud.similarities), (c) => c.charCodeAt(0));
  const packed = new DataView(bytes.buffer);
  const cosine = (i, j) => {
    const [a, b] = i > j ? [i, j] : [j, i];
    return packed.getInt16(2 * ((a * (a - 1)) / 2 + b), true) / 32767;
  };
  const around = (i) => {
    const others = [];
    for (let j = 0; j < n; j++) if (j !== i) others.push([j, cosine(i, j)]);
    return others.sort((a, b) => b[1] - a[1]);
  };

  let chosen = cloud.start;
  let neighbours = around(chosen);
  let now = 0.1;
  const kind = (i) => (cloud.classes ? cloud.classes[i] : 0);
  const name = (i) => {
    const row = say("row", { row: cloud.rows[i] });
    return cloud.classes ? `${cloud.names[kind(i)]} · ${row}` : row;
  };

  const ball = drawing.ball(part("picture"), drawing.turn("x", 0.3), () => turned());
  const strands = Array.from({ length: LINES }, () => element(ball.things, "path", { class: "strand" }));
  const dots = cloud.rows.map((_, i) => {
    const dot = element(ball.things, "path", {
      class: "dot", "data-point": i, d: drawing.shape(Math.floor(kind(i) / 8)), style: `--c:${drawing.ink(kind(i))}`,
    });
    element(dot, "title", {}, name(i));
    return dot;
  });
  const ring = element(ball.things, "circle", { class: "present", r: 13 });
  const chart = drawing.tauChart(part("chart"), { high: 100, ticks: [0, 25, 50, 75, 100] });
  const list = part("hardest");

  drawing.numbers(part("picture"), () => [
    ["row", "class", "x", "y", "z", "similarity to the chosen"],
    ...cloud.rows.map((row, i) => [
      row, cloud.classes ? cloud.names[kind(i)] : "", ...cloud.places[i], i === chosen ? 1 : cosine(i, chosen),
    ]),
  ]);

  let places = [];

  function turned() {
    ball.drawGraticule(false);
    places = cloud.places.map((place) => ball.place(place));
    dots.forEach((dot, i) => {
      const { x, y, depth } = places[i];
      set(dot, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(.75)`, opacity: depth < 0 ? 0.35 : 0.9 });
    });
    drawStrands();
  }

  function drawStrands() {
    const shares = softmax(neighbours.map(([, s]) => s), now);
    const from = places[chosen];
    set(ring, { cx: from.x, cy: from.y });
    strands.forEach((strand, k) => {
      const visible = k < neighbours.length && shares[k] > 1e-3;
      const to = visible ? places[neighbours[k][0]] : from;
      set(strand, { d: visible ? `M${from.x} ${from.y}L${to.x} ${to.y}` : "", "stroke-width": 1 + 9 * (shares[k] ?? 0) });
    });
  }

  function draw(tau) {
    now = tau;
    const shares = softmax(neighbours.map(([, s]) => s), tau);
    const effective = effectiveNumber(shares);
    drawStrands();
    part("sample").textContent = say("sample", cloud.sample);
    part("anchor").textContent = name(chosen);
    part("effective").textContent = say("of", { some: effective.toFixed(1), all: n - 1 });
    if (cloud.classes) {
      const mass = sum(shares.filter((_, k) => kind(neighbours[k][0]) === kind(chosen)));
      part("false").textContent = figures.percent(mass);
    }
    list.replaceChildren(...neighbours.slice(0, HARDEST).map(([j, s], k) => {
      const item = document.createElement("li");
      const label = document.createElement("span");
      label.textContent = `${name(j)} · ${s.toFixed(2).replace("-", "−")}`;
      item.classList.toggle("own", Boolean(cloud.classes) && kind(j) === kind(chosen));
      const share = document.createElement("span");
      share.textContent = figures.percent(shares[k]);
      const bar = document.createElement("span");
      bar.className = "bar";
      const fill = document.createElement("i");
      fill.style.width = `${100 * shares[k]}%`;
      bar.append(fill);
      item.append(label, share, bar);
      return item;
    }));
    chart.words(say("effective-axis"), say("limit-low-short"), say("limit-high-short"));
    const curves = { effective: cloud.effective, mass: cloud.false_mass };
    const at = Math.min(Math.max(40 * (Math.log10(tau) + 2), 0), 120);
    const values = {};
    for (const [key, curve] of Object.entries(curves)) {
      if (!curve) continue;
      const label = key === "mass" ? say("false-mass-short") : say("effective-short");
      chart.line(key, curve.map((v) => 100 * v), key === "mass" ? "var(--series-4)" : "var(--accent)", label);
      const [low, high] = [Math.floor(at), Math.ceil(at)];
      values[key] = 100 * (curve[low] + (curve[high] - curve[low]) * (at - low));
    }
    chart.move(tau, values);
    const median = values.effective;
    part("meaning").textContent = say(median < 2 ? "space-low" : median > 50 ? "space-high" : "space-middle", { share: median.toFixed(median < 10 ? 1 : 0) });
  }

  function choose(i) {
    chosen = (i + n) % n;
    neighbours = around(chosen);
    draw(now);
  }

  function listen() {
    part("next").addEventListener("click", () => choose(chosen + 1));
    part("previous").addEventListener("click", () => choose(chosen - 1));
    part("hard").addEventListener("click", () => choose(neighbours[0][0]));
    ball.things.addEventListener("click", (event) => {
      const point = event.target.closest("[data-point]");
      if (point) choose(Number(point.dataset.point));
    });
  }

  turned();
  return { draw, listen };
}
