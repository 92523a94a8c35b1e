// Remembers the theme and the time zone, copies commands, and pauses the live page while it is hidden.
// Every page works without it.
(() => {
  "use strict";
  // Trusted Types: text becomes a document in only one way. htmx parses responses of this service, and
  // the resulting document runs no scripts. The browser refuses every other conversion of text to
  // elements or scripts, because there is no other policy, and no second one of this name.
  const parsers = ["Document parseHTMLUnsafe", "DOMParser parseFromString"];
  if (window.trustedTypes) {
    trustedTypes.createPolicy("default", {
      createHTML: (text, type, sink) => (parsers.includes(sink) ? text : null),
    });
  }
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const storedTheme = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const storeTheme = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* for this page only */ } };
  const show = (theme) => {
    if (theme === "auto" || !themes.includes(theme)) { root.removeAttribute("data-theme"); } else { root.dataset.theme = theme; }
  };
  show(storedTheme());
  root.classList.add("scripted");

  const label = (button, theme) => {
    const text = `Theme: ${theme === "auto" ? "as the system" : theme}`;
    button.querySelector(".words").textContent = text;
    button.title = text;
  };
  // Times are UTC, or in the zone of the browser if the user chooses that. Charts are always UTC.
  const storedZone = () => { try { return localStorage.getItem("zone") === "local"; } catch { return false; } };
  let local = storedZone();
  const two = (number) => String(number).padStart(2, "0");
  const zoneName = (at) => {
    const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(at);
    return (parts.find((part) => part.type === "timeZoneName") || { value: "local time" }).value;
  };
  const format = (at, seconds) => {
    if (!local) {
      const iso = at.toISOString();
      return seconds ? `${iso.slice(11, 19)} UTC` : `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
    }
    const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (seconds) { return `${clock}:${two(at.getSeconds())} ${zoneName(at)}`; }
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock} ${zoneName(at)}`;
  };
  const showTimes = () => {
    for (const element of document.querySelectorAll("time[data-zoned]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) { continue; }
      const text = format(at, element.dataset.zoned === "second");
      if (element.dataset.zoned === "title") { element.title = text; } else { element.textContent = text; }
    }
    const words = document.getElementById("zone-words");
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (words) { words.textContent = local ? `Times are in ${zone}; dates and charts are UTC.` : "Times are UTC."; }
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
        try { localStorage.setItem("zone", local ? "local" : "utc"); } catch { /* for this page only */ }
        labelZone(zone);
        showTimes();
      });
      if (local) { showTimes(); }
    }
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      label(button, storedTheme());
      button.addEventListener("click", () => {
        const next = themes[(themes.indexOf(storedTheme()) + 1) % themes.length];
        storeTheme(next);
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

  // A hidden tab sends no requests. When it is shown again, it updates at once.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[data-polls]")) { event.preventDefault(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !window.htmx) { return; }
    for (const element of document.querySelectorAll("[data-polls]")) { htmx.trigger(element, "shown"); }
  });
  // If an update fails, the page reports that it is out of date.
  const lost = (event) => {
    const note = document.getElementById("lost");
    if (note && event.target.matches("[data-polls]")) { note.hidden = false; }
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:responseError", lost);
  document.addEventListener("htmx:afterSwap", () => {
    const note = document.getElementById("lost");
    if (note) { note.hidden = true; }
    if (local) { showTimes(); }
  });
})();
