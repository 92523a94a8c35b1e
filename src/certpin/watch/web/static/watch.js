// What the pages do with a script: the theme is kept, the live page rests while nobody looks.
// Everything works without it.
(() => {
  "use strict";
  // Text becomes a document in one way alone: htmx parses the answer of this watch, and the document
  // that comes of it runs nothing. Whatever else would make elements or scripts of text is refused by
  // the browser (Trusted Types; there is no other policy, and no second one of this name).
  const parsers = ["Document parseHTMLUnsafe", "DOMParser parseFromString"];
  if (window.trustedTypes) {
    trustedTypes.createPolicy("default", {
      createHTML: (text, type, sink) => (parsers.includes(sink) ? text : null),
    });
  }
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const kept = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* it holds for this page */ } };
  const show = (theme) => {
    if (theme === "auto" || !themes.includes(theme)) { root.removeAttribute("data-theme"); } else { root.dataset.theme = theme; }
  };
  show(kept());
  root.classList.add("scripted");

  const label = (button, theme) => {
    const said = `Theme: ${theme === "auto" ? "as the system" : theme}`;
    button.querySelector(".words").textContent = said;
    button.title = said;
  };
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      label(button, kept());
      button.addEventListener("click", () => {
        const next = themes[(themes.indexOf(kept()) + 1) % themes.length];
        keep(next);
        show(next);
        label(button, next);
      });
    }
    for (const copy of document.querySelectorAll("button[data-copy]")) {
      if (!navigator.clipboard) { continue; }
      copy.hidden = false;
      copy.addEventListener("click", async () => {
        const text = document.getElementById(copy.dataset.copy).textContent;
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
        setTimeout(() => { copy.textContent = "Copy"; }, 2000);
      });
    }
  });

  // A hidden tab asks for nothing; one that is shown again asks at once.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[data-polls]")) { event.preventDefault(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !window.htmx) { return; }
    for (const element of document.querySelectorAll("[data-polls]")) { htmx.trigger(element, "shown"); }
  });
  // A page that could not be fetched anew says so, instead of looking calm.
  const lost = (event) => {
    const note = document.getElementById("lost");
    if (note && event.target.matches("[data-polls]")) { note.hidden = false; }
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:responseError", lost);
  document.addEventListener("htmx:afterSwap", () => {
    const note = document.getElementById("lost");
    if (note) { note.hidden = true; }
  });
})();
