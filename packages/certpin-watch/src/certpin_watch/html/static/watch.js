// What the pages do with a script: theme and zone are kept, the live page rests while nobody looks.
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
  // Times are UTC, and in the zone of this browser on demand. Pictures stay as they were drawn.
  const zoneKept = () => { try { return localStorage.getItem("zone") === "local"; } catch { return false; } };
  let local = zoneKept();
  const two = (number) => String(number).padStart(2, "0");
  const zoneName = (at) => {
    const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(at);
    return (parts.find((each) => each.type === "timeZoneName") || { value: "local time" }).value;
  };
  const said = (at, seconds) => {
    if (!local) {
      const iso = at.toISOString();
      return seconds ? `${iso.slice(11, 19)} UTC` : `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
    }
    const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (seconds) { return `${clock}:${two(at.getSeconds())} ${zoneName(at)}`; }
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock} ${zoneName(at)}`;
  };
  const zoned = () => {
    for (const element of document.querySelectorAll("time[data-zoned]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) { continue; }
      const text = said(at, element.dataset.zoned === "second");
      if (element.dataset.zoned === "title") { element.title = text; } else { element.textContent = text; }
    }
    const words = document.getElementById("zone-words");
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (words) { words.textContent = local ? `Times are those of ${zone}; dates and pictures are UTC.` : "Times are UTC."; }
  };
  const labelZone = (button) => {
    const text = `Times: ${local ? "your zone" : "UTC"}`;
    button.querySelector(".words").textContent = text;
    button.title = text;
  };

  document.addEventListener("DOMContentLoaded", () => {
    const zone = document.getElementById("zone");
    if (zone) {
      zone.hidden = false;
      labelZone(zone);
      zone.addEventListener("click", () => {
        local = !local;
        try { localStorage.setItem("zone", local ? "local" : "utc"); } catch { /* it holds for this page */ }
        labelZone(zone);
        zoned();
      });
      if (local) { zoned(); }
    }
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
    if (local) { zoned(); }
  });
})();
