"use strict";
(() => {
  const { temperatures, cases, start } = JSON.parse(document.getElementById("hard-data").textContent);
  const slider = document.getElementById("temperature");
  const reading = document.getElementById("temperature-value");
  const rows = [...document.querySelectorAll("[data-case]")].map((list) => ({
    about: cases[Number(list.dataset.case)],
    shares: [...list.querySelectorAll(".share")],
    bars: [...list.querySelectorAll(".bar > i")],
  }));
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

  function draw() {
    const i = slider.valueAsNumber;
    const tau = temperatures[i];
    reading.textContent = tau.toPrecision(2);
    slider.setAttribute("aria-valuetext", `τ = ${tau.toPrecision(2)}`);
    for (const { about, shares, bars } of rows) {
      about.similarities.forEach((similarity, k) => {
        const share = Math.exp(similarity / tau - about.log_sum[i]);
        shares[k].textContent = percent(share);
        bars[k].style.width = `${100 * Math.min(share, 1)}%`;
      });
    }
  }

  slider.addEventListener("input", draw);
  slider.value = start;
  draw();
  document.getElementById("dial").hidden = false;
})();
