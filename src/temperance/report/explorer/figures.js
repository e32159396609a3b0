"use strict";
// How numbers are written and read.
const figures = {
  written(value) {
    if (value > 0 && value < 5e-4) return value.toExponential(4);
    return value.toFixed(value > 0.9999 && value < 1 ? 5 : 4);
  },
  percent: (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`,
  // Reads a number field; while it holds none, the last number stays in force.
  onNumber(input, set) {
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      input.setAttribute("aria-invalid", !Number.isFinite(value));
      if (Number.isFinite(value)) set(Math.min(Math.max(value, Number(input.min)), Number(input.max)));
    });
  },
};
