"use strict";
// SVG from numbers: elements, arrows, a chart over τ, and a ball that can be turned.
const drawing = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  // Around the origin; shape tells classes apart where colour cannot.
  const SHAPES = [
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
    "M-5.4-5.4h10.8v10.8h-10.8z",
    "M0-7L6.6 5.2H-6.6z",
    "M0-7.4L7.4 0L0 7.4L-7.4 0z",
  ];
  const COLOURS = 8;

  function element(parent, name, attributes = {}, content = "") {
    const made = document.createElementNS(SVG, name);
    set(made, attributes);
    if (content) made.textContent = content;
    parent.append(made);
    return made;
  }

  function set(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  }

  const ink = (index) => `var(--series-${(index % COLOURS) + 1})`;
  const shape = (index) => SHAPES[index % SHAPES.length];
  // τ from 0.01 to 10 is coloured from cold to hot in eight steps, as in the reports.
  const heat = (tau) => `var(--heat-${1 + Math.round((7 * Math.min(Math.max(Math.log10(tau) + 2, 0), 3)) / 3)})`;

  // An arrow as one filled outline; nothing where it would be too short to see.
  function arrow(x1, y1, x2, y2, width) {
    const length = Math.hypot(x2 - x1, y2 - y1);
    if (length < 1.5) return "";
    const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
    const head = Math.min(width * 2.2 + 6, length);
    const half = width / 2, wing = width * 1.1 + 3;
    const at = (along, aside) =>
      `${(x1 + ux * along - uy * aside).toFixed(1)} ${(y1 + uy * along + ux * aside).toFixed(1)}`;
    const neck = length - head;
    return `M${at(0, half)}L${at(neck, half)}L${at(neck, wing)}L${at(length, 0)}L${at(neck, -wing)}L${at(neck, -half)}L${at(0, -half)}z`;
  }

  // What a drawing was made from, written when it is saved: a head and rows.
  function numbers(svg, make) {
    const data = document.createElementNS(SVG, "metadata");
    svg.prepend(data);
    const cell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    svg.addEventListener("save", () => {
      data.textContent = make().map((row) => `${row.map(cell).join(",")}\n`).join("");
    });
  }

  // A chart of lines over τ on a logarithmic axis, with a mark that moves along.
  const CHART = { width: 560, height: 360, left: 58, right: 542, top: 40, bottom: 300 };
  const TAUS = Array.from({ length: 121 }, (_, i) => 10 ** (-2 + i / 40));

  function tauChart(svg, { high, ticks }) {
    const { left, right, top, bottom, width, height } = CHART;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.classList.add("chart");
    const x = (tau) => left + ((right - left) * (Math.log10(tau) + 2)) / 3;
    const y = (value) => bottom - ((bottom - top) * Math.min(Math.max(value, 0), high)) / high;
    for (const tick of ticks) {
      element(svg, "path", { class: "grid", d: `M${left} ${y(tick)}H${right}` });
      element(svg, "text", { class: "muted", x: left - 8, y: y(tick) + 5, "text-anchor": "end" }, String(tick));
    }
    for (const tau of [0.01, 0.1, 1, 10]) {
      element(svg, "path", { class: "grid", d: `M${x(tau)} ${bottom}V${top}` });
      element(svg, "text", { class: "muted", x: x(tau), y: bottom + 20, "text-anchor": "middle" }, String(tau));
    }
    element(svg, "path", { class: "axis", d: `M${left} ${bottom}H${right}` });
    const name = element(svg, "text", { class: "muted", x: 8, y: 18 });
    const low = element(svg, "text", { class: "muted", x: left, y: bottom + 44 });
    const far = element(svg, "text", { class: "muted", x: right, y: bottom + 44, "text-anchor": "end" });
    const mark = element(svg, "path", { class: "mark" });
    const lines = new Map();
    numbers(svg, () => {
      const drawn = [...lines.values()];
      const head = drawn.map(({ text }) => text.textContent);
      return [["temperature τ", ...head], ...TAUS.map((tau, i) => [tau, ...drawn.map(({ values }) => values[i])])];
    });

    function line(key, values, colour, label) {
      if (!lines.has(key)) {
        const group = element(svg, "g", { style: `--c:${colour}` });
        lines.set(key, {
          path: element(group, "path", { class: "line" }),
          dot: element(group, "circle", { class: "dot", r: 6 }),
          text: element(group, "text", { class: "label" }),
        });
      }
      const made = lines.get(key);
      made.values = values;
      const { path, dot, text } = made;
      const points = values.map((v, i) => `${x(TAUS[i]).toFixed(1)} ${y(v).toFixed(1)}`);
      path.setAttribute("d", `M${points.join("L")}`);
      text.textContent = label ?? "";
      return { dot, text };
    }

    return {
      line,
      words: (title, lowLimit, highLimit) => {
        name.textContent = title;
        low.textContent = lowLimit;
        far.textContent = highLimit;
      },
      // Values at τ, by key, move the dots and the labels beside them.
      move: (tau, values) => {
        mark.setAttribute("d", `M${x(tau)} ${bottom}V${top}`);
        const shown = Object.entries(values).filter(([key]) => lines.has(key));
        const places = shown.map(([key, v]) => [key, y(v)]).sort((a, b) => a[1] - b[1]);
        let last = -Infinity;
        for (const [key, place] of places) {
          const { dot, text } = lines.get(key);
          set(dot, { cx: x(tau), cy: place });
          last = Math.max(place + 5, last + 18);
          const near = tau > 1;
          set(text, { x: x(tau) + (near ? -12 : 12), y: last, "text-anchor": near ? "end" : "start" });
        }
      },
    };
  }

  // A ball of radius 1 seen from the front: turned by dragging or by the arrow keys.
  const VIEW = 560, CENTRE = 280, RADIUS = 232;

  function turn(axis, angle) {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return axis === "x" ? [1, 0, 0, 0, c, -s, 0, s, c] : [c, 0, s, 0, 1, 0, -s, 0, c];
  }

  const product = (a, b) =>
    Array.from({ length: 9 }, (_, k) => {
      const [i, j] = [3 * Math.floor(k / 3), k % 3];
      return a[i] * b[j] + a[i + 1] * b[j + 3] + a[i + 2] * b[j + 6];
    });

  const circle = (f) => Array.from({ length: 73 }, (_, i) => f((i * Math.PI) / 36));
  const GRATICULE = [
    ...[0, 1, 2, 3, 4, 5].map((k) => {
      const [c, s] = [Math.cos((k * Math.PI) / 6), Math.sin((k * Math.PI) / 6)];
      return circle((a) => [Math.cos(a) * c, Math.sin(a), Math.cos(a) * s]);
    }),
    ...[-0.5, 0, 0.5].map((y) => circle((a) => [Math.sqrt(1 - y * y) * Math.cos(a), y, Math.sqrt(1 - y * y) * Math.sin(a)])),
  ];

  function ball(svg, start, onTurn) {
    svg.setAttribute("viewBox", `0 0 ${VIEW} ${VIEW}`);
    svg.classList.add("chart", "ball");
    let view = start;
    const rim = element(svg, "circle", { class: "rim", cx: CENTRE, cy: CENTRE, r: RADIUS });
    const back = element(svg, "path", { class: "meridian far" });
    const front = element(svg, "path", { class: "meridian" });
    const things = element(svg, "g");

    const turned = ([x, y, z]) => [
      view[0] * x + view[1] * y + view[2] * z,
      view[3] * x + view[4] * y + view[5] * z,
      view[6] * x + view[7] * y + view[8] * z,
    ];
    const place = (point) => {
      const [x, y, z] = turned(point);
      return { x: CENTRE + RADIUS * x, y: CENTRE - RADIUS * y, depth: z };
    };

    function drawGraticule(flat) {
      front.toggleAttribute("hidden", flat);
      back.toggleAttribute("hidden", flat);
      if (flat) return;
      const parts = { front: [], back: [] };
      for (const ring of GRATICULE) {
        let side = null;
        for (const point of ring) {
          const { x, y, depth } = place(point);
          const now = depth >= 0 ? "front" : "back";
          parts[now].push(`${now === side ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`);
          side = now;
        }
      }
      front.setAttribute("d", parts.front.join(""));
      back.setAttribute("d", parts.back.join(""));
    }

    // Where on the picture a pointer is, in units of the ball's radius.
    function pointer(event) {
      const box = svg.getBoundingClientRect();
      const scale = VIEW / box.width;
      return [
        ((event.clientX - box.left) * scale - CENTRE) / RADIUS,
        (CENTRE - (event.clientY - box.top) * scale) / RADIUS,
      ];
    }

    // The nearest point of the front of the ball, in the ball's own coordinates.
    function under(event) {
      let [x, y] = pointer(event);
      const length = Math.hypot(x, y);
      if (length > 1) [x, y] = [x / length, y / length];
      return untwisted([x, y, Math.sqrt(Math.max(0, 1 - x * x - y * y))]);
    }

    const untwisted = ([x, y, z]) => [
      view[0] * x + view[3] * y + view[6] * z,
      view[1] * x + view[4] * y + view[7] * z,
      view[2] * x + view[5] * y + view[8] * z,
    ];

    function rotate(right, up) {
      view = product(product(turn("x", -up), turn("y", right)), view);
      onTurn();
    }

    let last = null;
    svg.addEventListener("pointerdown", (event) => {
      if (svg.dataset.flat || event.target.closest("[data-point]")) return;
      last = [event.clientX, event.clientY];
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!last) return;
      const scale = (VIEW / RADIUS) / svg.getBoundingClientRect().width;
      rotate((event.clientX - last[0]) * scale, (last[1] - event.clientY) * scale);
      last = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { last = null; });
    svg.addEventListener("keydown", (event) => {
      if (event.target !== svg || svg.dataset.flat) return;
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!step) return;
      event.preventDefault();
      rotate(step[0] * 0.15, step[1] * 0.15);
    });

    return { things, rim, place, turned, untwisted, under, drawGraticule, radius: RADIUS, centre: CENTRE };
  }

  return { element, set, ink, shape, heat, arrow, numbers, tauChart, ball, turn, TAUS };
})();
