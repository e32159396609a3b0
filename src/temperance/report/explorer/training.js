"use strict";
// Pictures on a sphere, laid there by an encoder that is trained in the page at the chosen τ.
function trainingScene(root) {
  const { encode, ntXent, adam, random, uniformity, tolerance, ownClassNearest } = mathematics;
  const { element, set } = drawing;
  const { say } = words;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const CENTRES = [
    [-1.5, 1.2], [-0.55, 1.35], [1.1, 1.2], [1.6, 0.4], [-1.4, -0.5], [-0.2, -0.1], [0.5, -1.3], [1.4, -0.9],
  ];
  const EACH = 18, SPREAD = 0.4, NOISE = 0.1, FEATURES = 48, FREQUENCY = 2;
  const RATE = 0.05, REST = 400, ENOUGH = 150, BUDGET = 12; // steps, steps, milliseconds in a frame
  const IDEAL = Math.log((Math.exp(4) - Math.exp(-4)) / 8) - 4; // of points spread evenly over the sphere
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const dice = random(7);
  const classes = CENTRES.flatMap((_, k) => Array(EACH).fill(k));
  const pictures = classes.map((k) => CENTRES[k].map((c) => c + SPREAD * dice.normal()));
  const waves = Array.from({ length: FEATURES }, () => ({
    x: FREQUENCY * dice.normal(), y: FREQUENCY * dice.normal(), phase: 2 * Math.PI * dice.uniform(),
  }));
  const scale = Math.sqrt(2 / FEATURES);

  function features(noise, times) {
    const found = new Float64Array(times * pictures.length * FEATURES);
    let at = 0;
    for (let view = 0; view < times; view++) {
      for (const [x, y] of pictures) {
        const [a, b] = noise ? [x + noise * dice.normal(), y + noise * dice.normal()] : [x, y];
        for (const wave of waves) found[at++] = scale * Math.cos(a * wave.x + b * wave.y + wave.phase);
      }
    }
    return found;
  }

  const plain = features(0, 1);
  let weights, memory, points, steps, since, tau, running = false, seen = false, trained = null;
  const history = [];

  function begin() {
    const from = random(11);
    weights = Float64Array.from({ length: 3 * FEATURES }, () => from.normal());
    memory = { step: 0, mean: new Float64Array(weights.length), square: new Float64Array(weights.length) };
    steps = since = 0;
    points = encode(plain, weights).points;
  }

  const ball = drawing.ball(part("picture"), drawing.turn("x", 0.3), () => drawBall());
  const dots = classes.map((k) =>
    element(ball.things, "path", { class: "dot", d: drawing.shape(k), style: `--c:${drawing.ink(k)}` }));
  const input = part("input");
  set(input, { viewBox: "0 0 260 200" });
  pictures.forEach(([x, y], i) => element(input, "path", {
    class: "dot", d: drawing.shape(classes[i]), style: `--c:${drawing.ink(classes[i])}`,
    transform: `translate(${130 + 46 * x} ${100 - 40 * y}) scale(.6)`,
  }));

  // The dilemma as a plane: to the right more even, up more tolerant.
  const plane = part("plane");
  set(plane, { viewBox: "0 0 560 360" });
  const right = (u) => 58 + (484 * Math.min(Math.max(-u, 0), 2.4)) / 2.4;
  const up = (t) => 300 - 260 * Math.min(Math.max(t, 0), 1);
  for (const t of [0, 0.5, 1]) {
    element(plane, "path", { class: "grid", d: `M58 ${up(t)}H542` });
    element(plane, "text", { class: "muted", x: 50, y: up(t) + 5, "text-anchor": "end" }, String(t));
  }
  for (const u of [0, 0.5, 1, 1.5, 2]) {
    element(plane, "path", { class: "grid", d: `M${right(-u)} 300V40` });
    element(plane, "text", { class: "muted", x: right(-u), y: 320, "text-anchor": "middle" }, String(u));
  }
  element(plane, "path", { class: "reference", style: "--c:var(--muted)", d: `M${right(IDEAL)} 300V40` });
  const ideal = element(plane, "text", { class: "muted", x: right(IDEAL) - 6, y: 56, "text-anchor": "end" });
  const tolerant = element(plane, "text", { class: "muted", x: 8, y: 18 });
  const even = element(plane, "text", { class: "muted", x: 300, y: 344, "text-anchor": "middle" });
  const past = element(plane, "g");
  const present = element(plane, "circle", { class: "present", r: 11 });

  const rows = (values) => values.map((value, i) => [classes[i], ...value]);
  drawing.numbers(part("picture"), () => [["class", "x", "y", "z"], ...rows(pictures.map((_, i) => [...points.subarray(3 * i, 3 * i + 3)]))]);
  drawing.numbers(input, () => [["class", "x", "y"], ...rows(pictures)]);
  drawing.numbers(plane, () => {
    const reached = { tau, uniformity: uniformity(points), tolerance: tolerance(points, classes) };
    return [["temperature τ", "uniformity", "tolerance"], ...[...history, reached].map((one) => [one.tau, one.uniformity, one.tolerance])];
  });

  function drawBall() {
    ball.drawGraticule(false);
    dots.forEach((dot, i) => {
      const { x, y, depth } = ball.place(points.subarray(3 * i, 3 * i + 3));
      const size = 0.8 + 0.35 * (depth + 1) / 2;
      set(dot, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${size.toFixed(2)})`, opacity: depth < 0 ? 0.28 : 1 });
    });
  }

  function measure() {
    const found = { tau, uniformity: uniformity(points), tolerance: tolerance(points, classes) };
    part("uniformity").textContent = found.uniformity.toFixed(2).replace("-", "−");
    part("tolerance").textContent = found.tolerance.toFixed(2);
    part("nearest").textContent = figures.percent(ownClassNearest(points, classes));
    part("steps").textContent = String(steps);
    set(present, { cx: right(found.uniformity), cy: up(found.tolerance) });
    if (since >= ENOUGH) trained = found;
  }

  // What a training came to stays on the plane when τ is turned away.
  function keep() {
    if (!trained) return;
    const same = history.findIndex((one) => one.tau === trained.tau);
    if (same >= 0) history.splice(same, 1)[0].mark.remove();
    const mark = element(past, "g", { style: `--c:${drawing.heat(trained.tau)}` });
    element(mark, "circle", { class: "dot", r: 8, cx: right(trained.uniformity), cy: up(trained.tolerance) });
    element(mark, "text", { x: right(trained.uniformity) - 12, y: up(trained.tolerance) + 5, "text-anchor": "end" }, `τ ${trained.tau}`);
    history.push({ ...trained, mark });
    if (history.length > 24) history.shift().mark.remove();
    trained = null;
  }

  function frame() {
    if (!running || !seen) return;
    const end = performance.now() + BUDGET;
    do {
      const { gradient } = ntXent(features(NOISE, 2), weights, tau);
      adam(weights, gradient, memory, RATE);
      steps++;
      since++;
    } while (performance.now() < end && since < REST);
    points = encode(plain, weights).points;
    drawBall();
    measure();
    if (since >= REST) setRunning(false);
    else requestAnimationFrame(frame);
  }

  function setRunning(now) {
    const starts = now && !running;
    running = now;
    const button = part("train");
    button.textContent = say(running ? "pause" : "train");
    root.dataset.running = running;
    if (starts) requestAnimationFrame(frame);
  }

  // Called at every change of τ or of the language.
  function draw(now) {
    if (tau !== now) {
      keep();
      const first = tau === undefined;
      tau = now;
      since = 0;
      if (!first && !running && steps > 0) setRunning(true);
    }
    part("train").textContent = say(running ? "pause" : "train");
    ideal.textContent = say("ideal");
    tolerant.textContent = say("tolerance-axis");
    even.textContent = say("uniformity-axis");
    part("meaning").textContent = say(tau < 0.05 ? "trained-lowest" : tau <= 0.3 ? "trained-low" : tau < 2 ? "trained-middle" : "trained-high");
  }

  function listen() {
    part("train").addEventListener("click", () => {
      if (!running && since >= REST) since = ENOUGH;
      setRunning(!running);
    });
    part("again").addEventListener("click", () => {
      keep();
      begin();
      drawBall();
      measure();
      setRunning(true);
    });
    let shown = false;
    new IntersectionObserver(([entry]) => {
      const starts = entry.isIntersecting && !seen;
      seen = entry.isIntersecting;
      if (!starts) return;
      if (!shown && !still) setRunning(true);
      else if (running) requestAnimationFrame(frame);
      shown = true;
    }, { threshold: 0.25 }).observe(part("picture"));
  }

  begin();
  drawBall();
  measure();
  return { draw, listen };
}
