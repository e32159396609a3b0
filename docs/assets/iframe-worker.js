"use strict";
// Pages opened from files may not start workers: the site's search runs in a hidden frame instead.
window.IFrameWorker = class extends EventTarget {
  #waiting = [];
  #frame = document.createElement("iframe");

  constructor(url) {
    super();
    this.#frame.hidden = true;
    document.body.append(this.#frame);
    const inside = this.#frame.contentWindow;
    const load = (source) =>
      new Promise((done, failed) => {
        const script = inside.document.createElement("script");
        Object.assign(script, { src: source, onload: done, onerror: failed });
        inside.document.body.append(script);
      });
    inside.importScripts = (...sources) => Promise.all(sources.map(load));
    inside.postMessage = (data) => {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    };
    load(url).then(() => {
      const waiting = this.#waiting;
      this.#waiting = null;
      for (const data of waiting) this.postMessage(data);
    });
  }

  postMessage(data) {
    if (this.#waiting) this.#waiting.push(data);
    else this.#frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
  }

  terminate() {
    this.#frame.remove();
  }
};
if (location.protocol === "file:") window.Worker = window.IFrameWorker;
