// Show a list of the versions of this documentation, if versions.json has more than one.
(async () => {
  const root = document.documentElement.dataset.content_root || "./";
  let versions;
  try {
    const response = await fetch(new URL(root + "versions.json", document.baseURI));
    versions = await response.json();
  } catch {
    return; // a page that is opened as a file can't read another one
  }
  const brand = document.querySelector(".sidebar-brand");
  if (versions.length < 2 || !brand) return;
  const select = document.createElement("select");
  select.className = "version-selector";
  select.setAttribute("aria-label", "Version of the documentation");
  for (const { version, url, current } of versions) {
    const option = new Option(version, new URL(root + url, document.baseURI), current, current);
    select.append(option);
  }
  select.addEventListener("change", () => { location.href = select.value; });
  brand.after(select);
})();
