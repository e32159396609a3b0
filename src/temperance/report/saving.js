"use strict";
// Every figure can be kept: as a picture, as a drawing, and as the numbers that it was drawn from.
(() => {
  const INHERITED = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linejoin",
    "stroke-linecap", "font-family", "font-size", "font-weight", "text-anchor",
  ];
  const PIXELS = 3; // of a picture, to each unit of the drawing
  const run = document.querySelector("main").dataset.run;

  // Each element says itself what it is drawn with: not every program reads style sheets.
  function settle(from, to, above) {
    const style = getComputedStyle(from);
    for (const name of INHERITED) {
      const value = style.getPropertyValue(name);
      if (value !== above?.getPropertyValue(name)) to.setAttribute(name, value);
    }
    if (style.display === "none") to.setAttribute("display", "none");
    if (style.opacity !== "1") to.setAttribute("opacity", style.opacity);
    for (const name of ["class", "style"]) to.removeAttribute(name);
    for (const [i, child] of [...from.children].entries()) {
      if (!["title", "desc", "metadata"].includes(child.localName)) settle(child, to.children[i], style);
    }
  }

  // A file that stands alone, in the colours that the page shows now.
  function drawing(svg) {
    const copy = svg.cloneNode(true);
    settle(svg, copy, null);
    const { width, height } = svg.viewBox.baseVal;
    const ground = document.createElementNS(svg.namespaceURI, "rect");
    const fill = getComputedStyle(svg).backgroundColor;
    for (const [name, value] of Object.entries({ width, height })) {
      copy.setAttribute(name, value);
      ground.setAttribute(name, value);
    }
    ground.setAttribute("fill", fill);
    ground.setAttribute("stroke", "none");
    copy.querySelector("metadata").after(ground);
    return new XMLSerializer().serializeToString(copy);
  }

  async function pixels(source, width, height) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width ?? image.naturalWidth;
    canvas.height = height ?? image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  const ofChart = {
    PNG(svg) {
      const { width, height } = svg.viewBox.baseVal;
      const source = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing(svg))}`;
      return pixels(source, PIXELS * width, PIXELS * height);
    },
    SVG: (svg) => new Blob([drawing(svg)], { type: "image/svg+xml" }),
    CSV: (svg) => new Blob([svg.querySelector("metadata").textContent], { type: "text/csv" }),
  };
  const ofImage = { PNG: (image) => pixels(image.src) };
  const ofList = {
    CSV: (list) => new Blob([list.parentElement.querySelector("template").content.textContent], { type: "text/csv" }),
  };

  function keep(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may read it a while later
  }

  for (const figure of document.querySelectorAll("figure[id]")) {
    const svg = figure.querySelector("svg"), list = figure.querySelector("ul");
    const picture = svg ?? list ?? figure.querySelector("img");
    picture.id ||= `${figure.id}-picture`;
    const row = document.createElement("div");
    row.className = "save";
    row.setAttribute("role", "group");
    const said = document.createElement("span");
    said.id = `${figure.id}-save`;
    said.dataset.word = "save-as"; // for the explorer, which speaks two languages
    said.textContent = "Save as";
    row.setAttribute("aria-labelledby", `${said.id} ${picture.id}`);
    row.append(said);
    for (const [format, make] of Object.entries(svg ? ofChart : list ? ofList : ofImage)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format;
      button.addEventListener("click", async () => {
        const name = [run, figure.id.replace("figure-", "")].filter(Boolean).join("-");
        picture.dispatchEvent(new Event("save")); // what is drawn by hand writes its numbers now
        keep(await make(picture), `${name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.${format.toLowerCase()}`);
      });
      row.append(button);
    }
    figure.append(row);
  }
})();
