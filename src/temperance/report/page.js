"use strict";
// What every page can do: remember a choice, change its colours, show one of its tabs.
const settings = {
  // A browser may forbid storage; then a choice lasts as long as the page is open.
  read(name) {
    try { return localStorage.getItem(`temperance-${name}`); } catch { return null; }
  },
  write(name, value) {
    try { localStorage.setItem(`temperance-${name}`, value); } catch { /* nothing is kept */ }
  },
};
(() => {
  const schemes = document.querySelectorAll("[data-scheme]");
  function colour(scheme) {
    if (scheme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = scheme;
    for (const button of schemes) button.setAttribute("aria-pressed", button.dataset.scheme === scheme);
  }
  for (const button of schemes) {
    button.addEventListener("click", () => {
      settings.write("theme", button.dataset.scheme);
      colour(button.dataset.scheme);
    });
  }
  const kept = settings.read("theme");
  colour(kept === "light" || kept === "dark" ? kept : "auto");
  document.getElementById("themes").hidden = false;

  const tabs = [...document.querySelectorAll("[data-tab]")];
  function show() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const wanted = target?.closest("[data-tab]")?.dataset.tab ?? "report";
    for (const tab of tabs) tab.hidden = tab.dataset.tab !== wanted;
    for (const link of document.querySelectorAll(".tabs > a")) {
      if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (target && wanted === "report") target.scrollIntoView(); // it may have been hidden until now
  }
  if (tabs.length) {
    window.addEventListener("hashchange", show);
    show();
  }
})();
