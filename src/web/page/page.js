// Fetches this same page and puts its live part in place of ours. The server has escaped every name; the parsed
// document runs no script, and nothing is ever written as HTML here.
"use strict";
(() => {
  const EVERY = 2000, PATIENCE = 5000;
  const stale = document.getElementById("stale");
  let last = new Date();

  const pausedByReader = () => {
    const selection = getSelection();
    return document.hidden || (selection && !selection.isCollapsed);
  };

  async function refresh() {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error("the exporter answered " + answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = fresh.getElementById("live");
    if (!now) throw new Error("the answer is not this page");
    const live = document.getElementById("live");
    const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    // Spread first: the list is live, and moving a node while walking it would skip the next.
    live.replaceChildren(...now.childNodes);
    document.title = fresh.title;
    if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    last = new Date();
    stale.hidden = true;
  }

  async function round() {
    if (!pausedByReader()) {
      try {
        await refresh();
      } catch (error) {
        stale.textContent = "This page has not been refreshed since " + last.toLocaleTimeString()
          + ": what it shows may no longer be true. Trying again (" + error.message + ").";
        stale.hidden = false;
      }
    }
    setTimeout(round, EVERY);
  }
  setTimeout(round, EVERY);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
})();
