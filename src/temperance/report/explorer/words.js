"use strict";
// What the page says, in the language chosen. Elements name their words with data-word, their spoken
// names with data-label; scenes ask with say().
const words = (() => {
  const table = JSON.parse(document.getElementById("explorer-words").textContent);
  const root = document.getElementById("explorer");
  const whole = root.dataset.whole !== undefined; // the page is the explorer, not a tab of a report
  const scope = whole ? document : root;
  const known = { en: "en", zh: "zh-Hans" };
  const preferred = navigator.language.startsWith("zh") ? "zh" : "en";
  let language = settings.read("language") ?? preferred;
  if (!(language in known)) language = preferred;

  const say = (key, values = {}) =>
    table[key][language].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

  function apply() {
    (whole ? document.documentElement : root).lang = known[language];
    for (const node of scope.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);
    for (const node of scope.querySelectorAll("[data-label]")) {
      node.setAttribute("aria-label", say(node.dataset.label));
    }
    for (const button of root.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", button.dataset.language === language);
    }
    if (whole) document.title = `${say("title")} · Temperance`;
  }

  function choose(next) {
    language = next;
    settings.write("language", next);
    apply();
  }

  return { say, apply, choose };
})();
