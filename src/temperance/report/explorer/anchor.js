"use strict";
// One anchor among its positive and its negatives, on a circle or a sphere: the gradient as arrows.
function anchorScene(root) {
  const { infoNCE, softmax, effectiveNumber, sum } = mathematics;
  const { element, set } = drawing;
  const { say } = words;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const degree = Math.PI / 180;

  // How far each lies from the anchor, and in which direction; on the circle only the side counts.
  const start = [
    { name: "positive", letter: "O", kind: "positive", away: 34, aside: 0 },
    { name: "q", letter: "Q", kind: "hard", away: 40, aside: 175 },
    { name: "o", letter: "O", kind: "false", away: 53, aside: 40 },
    { name: "c", letter: "C", kind: "medium", away: 62, aside: 230 },
    { name: "g", letter: "G", kind: "medium", away: 74, aside: -25 },
    { name: "d", letter: "D", kind: "medium", away: 84, aside: 150 },
    { name: "t", letter: "T", kind: "easy", away: 98, aside: 70 },
    { name: "x", letter: "X", kind: "easy", away: 113, aside: 200 },
    { name: "i", letter: "I", kind: "easy", away: 132, aside: 300 },
  ];
  const colours = {
    positive: "var(--good)", hard: "var(--series-2)", false: "var(--series-4)",
    medium: "var(--series-1)", easy: "var(--series-6)",
  };
  let items = start.map((item) => ({ ...item }));
  let flat = true;
  let changed = () => {};

  const svg = part("picture");
  const ball = drawing.ball(svg, drawing.turn("x", 0.85), () => changed());
  const arrows = element(ball.things, "g");
  const rows = [...root.querySelectorAll("tbody tr")];
  const chart = drawing.tauChart(part("chart"), { high: 100, ticks: [0, 25, 50, 75, 100] });
  const drawn = ["q", "o", "c", "x"];

  const around = (item) => (flat ? (Math.cos(item.aside * degree) < 0 ? 180 : 0) : item.aside) * degree;
  const position = (item) => {
    const [away, aside] = [item.away * degree, around(item)];
    return [Math.sin(away) * Math.cos(aside), Math.cos(away), Math.sin(away) * Math.sin(aside)];
  };
  // The direction along the sphere in which the similarity to the anchor grows.
  const towards = (item) => {
    const [away, aside] = [item.away * degree, around(item)];
    return [-Math.cos(away) * Math.cos(aside), Math.sin(away), -Math.cos(away) * Math.sin(aside)];
  };
  const similarity = (item) => Math.cos(item.away * degree);
  const place = ([x, y, z]) =>
    flat ? { x: ball.centre + ball.radius * x, y: ball.centre - ball.radius * y, depth: 0.5 } : ball.place([x, y, z]);

  const anchor = element(ball.things, "g", { class: "item anchor" });
  element(anchor, "circle", { r: 21 });
  element(anchor, "text", { y: 8 }, "O");
  const points = items.map((item, i) => {
    const group = element(ball.things, "g", {
      class: "item", "data-point": i, tabindex: 0, role: "slider", style: `--c:${colours[item.kind]}`,
      "aria-valuemin": -1, "aria-valuemax": 1,
    });
    const shaft = element(arrows, "path", { style: `--c:${colours[item.kind]}`, class: "arrow" });
    element(group, "circle", { r: 18 });
    element(group, "text", { y: 7 }, item.letter);
    return { group, shaft };
  });
  ball.things.append(anchor);

  let shown = [];
  drawing.numbers(svg, () => [["name", "kind", "degrees from the anchor", "similarity", "share of the push", "slope"], ...shown]);

  function move(item, [x, y, z]) {
    const length = Math.hypot(x, y, z) || 1;
    item.away = Math.acos(Math.min(Math.max(y / length, -1), 1)) / degree;
    if (Math.hypot(x, z) > 1e-6) item.aside = Math.atan2(z, x) / degree;
  }

  function limit(shares) {
    if (Math.max(...shares) > 0.99) return "low";
    return effectiveNumber(shares) > 0.99 * shares.length ? "high" : "";
  }

  // The curves change with the letters' places, not with τ.
  let curvesOf = "";
  function drawCurves(negatives) {
    const similarities = negatives.map(similarity);
    if (curvesOf === similarities.join()) return;
    curvesOf = similarities.join();
    const curves = drawing.TAUS.map((t) => softmax(similarities, t));
    negatives.forEach(({ name, kind, letter }, i) => {
      if (drawn.includes(name)) chart.line(name, curves.map((shares) => 100 * shares[i]), colours[kind], letter);
    });
  }

  function draw(tau) {
    const [positive, ...negatives] = items;
    const found = infoNCE(similarity(positive), negatives.map(similarity), tau);
    const pulled = sum(found.probabilities);
    shown = items.map((item, i) => {
      const [share, slope] = i === 0 ? ["", found.pull] : [found.shares[i - 1], found.pushes[i - 1]];
      return [say(`item-${item.name}`), say(`kind-${item.kind}`), item.away, similarity(item), share, slope];
    });
    svg.toggleAttribute("data-flat", flat);
    ball.drawGraticule(flat);
    const { x, y, depth } = place([0, 1, 0]);
    set(anchor, { transform: `translate(${x} ${y})`, opacity: depth < 0 ? 0.35 : 1 });
    items.forEach((item, i) => {
      const { group, shaft } = points[i];
      const at = place(position(item));
      const force = i === 0 ? pulled : found.probabilities[i - 1];
      const slope = i === 0 ? found.pull : found.pushes[i - 1];
      const reach = (i === 0 ? 1 : -1) * (force === 0 ? 0 : 0.1 + 0.8 * force);
      const to = place(position(item).map((v, c) => v + reach * towards(item)[c]));
      const faint = at.depth < 0 ? 0.35 : 1;
      // Below one in a thousand there is nothing to see.
      const outline = force < 1e-3 ? "" : drawing.arrow(at.x, at.y, to.x, to.y, 2 + 12 * force);
      set(shaft, { d: outline, opacity: faint });
      set(group, { transform: `translate(${at.x} ${at.y})`, opacity: faint });
      const spoken = say("item-spoken", {
        similarity: similarity(item).toFixed(2), force: figures.written(slope), way: say(i ? "pushed" : "pulled"),
      });
      set(group, { "aria-label": say(`item-${item.name}`), "aria-valuenow": similarity(item).toFixed(2), "aria-valuetext": spoken });
      const cells = rows[i].cells;
      cells[1].textContent = similarity(item).toFixed(2).replace("-", "−");
      const share = i === 0 ? null : found.shares[i - 1];
      if (share !== null) {
        cells[2].querySelector(".value").textContent = figures.percent(share);
        cells[2].querySelector(".bar > i").style.width = `${100 * share}%`;
      }
      cells[3].textContent = figures.written(slope);
    });
    const effective = effectiveNumber(found.shares);
    const mass = sum(found.shares.filter((_, i) => negatives[i].kind === "false"));
    part("loss").textContent = figures.written(found.loss);
    part("effective").textContent = say("of", { some: effective.toFixed(1), all: negatives.length });
    part("false").textContent = figures.percent(mass);
    const at = limit(found.shares);
    const lines = [
      at ? say(`limit-${at}`) : say("shared", { some: effective.toFixed(1), all: negatives.length }),
      ...(pulled < 0.05 ? [say("apart")] : []),
    ];
    part("meaning").textContent = lines.join(" ");
    drawCurves(negatives);
    chart.words(say("share-axis"), say("limit-low-short"), say("limit-high-short"));
    const now = {};
    for (const name of drawn) {
      now[name] = 100 * found.shares[negatives.findIndex((item) => item.name === name)];
    }
    chart.move(tau, now);
    return { limit: at, spoken: part("meaning").textContent };
  }

  function listen(onChange) {
    changed = onChange;
    for (const button of root.querySelectorAll("[data-shape]")) {
      button.addEventListener("click", () => {
        flat = button.dataset.shape === "circle";
        for (const other of root.querySelectorAll("[data-shape]")) {
          other.setAttribute("aria-pressed", other === button);
        }
        part("turn-hint").hidden = flat;
        set(svg, { tabindex: flat ? -1 : 0 });
        changed();
      });
    }
    part("reset").addEventListener("click", () => {
      items = start.map((item) => ({ ...item }));
      changed();
    });
    points.forEach(({ group }, i) => {
      group.addEventListener("pointerdown", (event) => {
        group.setPointerCapture(event.pointerId);
        group.focus({ preventScroll: true });
        event.preventDefault();
      });
      group.addEventListener("pointermove", (event) => {
        if (!group.hasPointerCapture(event.pointerId)) return;
        if (flat) {
          const box = svg.getBoundingClientRect();
          const x = (event.clientX - box.left) / box.width - 0.5;
          const y = 0.5 - (event.clientY - box.top) / box.height;
          move(items[i], [x, y, 0]);
        } else move(items[i], ball.under(event));
        changed();
      });
      group.addEventListener("keydown", (event) => {
        const item = items[i];
        const nearer = { ArrowUp: -3, ArrowDown: 3 }[event.key] ?? (flat ? { ArrowRight: -3, ArrowLeft: 3 }[event.key] : 0);
        const round = flat ? 0 : { ArrowRight: 6, ArrowLeft: -6 }[event.key];
        if (!nearer && !round) return;
        event.preventDefault();
        item.away = Math.min(Math.max(item.away + (nearer ?? 0), 0), 180);
        item.aside += round ?? 0;
        changed();
      });
    });
  }

  return { draw, listen };
}
