"""A Sphinx extension of this site.

It links types in signatures, shortens the navigation, makes pages accessible, and adds a
Content-Security-Policy to each page.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# Nothing from another host; scripts in the page only with the hashes that are added. Furo sets the
# colours of its themes in a style element and in attributes, so styles in the page are allowed.
_POLICY = (
    "default-src 'none'; connect-src 'self'; font-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'{}; base-uri 'none'; form-action 'self'"
)
# Corrections of the theme's pages for screen readers and keyboards, as axe reports them.
_ACCESSIBLE = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    ('<div class="highlight"><pre>', '<div class="highlight"><pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<th class="head"><p></p></th>', '<td class="head"></td>'),
    ('<div id="search-results">', '<h1>Search</h1>\n<div id="search-results">'),
)
_DONE = '<head>\n<meta http-equiv="Content-Security-Policy" '  # how a complete page begins
_ICON = '<link rel="icon" href="data:,">'  # without it, browsers ask for a file that doesn't exist
_FIRST_PARAGRAPH = "Placeholder of certpin"
# A page in the navigation as the theme writes it: the current one, and any other.
_CURRENT = '<li class="{} current current-page"><a class="current reference internal" href="#">'
_LISTED = '<li class="{}"><a class="reference internal" href="{}.html">'
_LEVEL = r"(toctree-l\d)"
_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the event handlers of this extension; reading and writing may run in parallel."""
    app.connect("missing-reference", _resolve)
    app.connect("html-page-context", _collapse, priority=100)  # before the theme's
    app.connect("html-page-context", _mark_current, priority=900)  # after it
    app.connect("autodoc-process-docstring", _hide_summary, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", _show_summary, priority=900)  # after it
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _resolve(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Link a type in a signature to the page of its public name (``missing-reference``).

    Signatures contain the name of the module that defines a class, and pages have the public name,
    so only the last part of the name is compared. A type without a page, such as one of another
    library, stays plain text: the build needs no network.
    """
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"].rpartition(".")[2]
    objects = env.get_domain("py").objects
    kinds = {"class", "function", "data", "exception"}
    found = [
        full
        for full, entry in objects.items()
        if full.startswith("certpin") and full.rpartition(".")[2] == name and entry.objtype in kinds
    ]
    if not found:
        return content
    shortest = min(found, key=len)
    entry = objects[shortest]
    from sphinx.util.nodes import make_refnode  # noqa: PLC0415  # only in the environment of the docs

    return make_refnode(
        app.builder, node["refdoc"], entry.docname, entry.node_id, content, shortest
    )


def _collapse(app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Limit a page's navigation to the page's own branch (``html-page-context``).

    By default, the theme writes all pages into the navigation of every page: with 700 pages, that
    was most of the site and of the build time. The navigation is rendered once for a branch.
    ``_mark_current`` then puts it into the other pages of the branch.
    """
    whole = context.get("toctree")
    if whole is None:
        return
    known = _branch(app, page) in _navigation
    context["toctree"] = lambda **options: "" if known else whole(**{**options, "collapse": True})


def _mark_current(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: Any
) -> None:
    """Give a page the navigation that it shares with its siblings, and mark the page as current.

    Siblings are the pages for which ``_branch`` returns the same pair.
    """
    branch = _branch(app, page)
    if branch is None:
        return
    name = page.rpartition("/")[2]
    if branch not in _navigation:
        made = context["furo_navigation_tree"]
        unmarked = _LISTED.format(r"\1", name)
        _navigation[branch] = _replaced(_CURRENT.format(_LEVEL), unmarked, made)
    listed = _LISTED.format(_LEVEL, re.escape(name))
    marked = _replaced(listed, _CURRENT.format(r"\1"), _navigation[branch])
    context["furo_navigation_tree"] = marked


def _branch(app: Sphinx, page: str) -> tuple[str, str] | None:
    """Return the parent page and the folder of a page.

    Pages with the same parent and the same folder have the same navigation, except for the mark of
    the current page. Return None for a page that has pages below it or no parent.
    """
    parent = app.builder.relations.get(page, [None])[0]
    if parent is None or page in app.builder.env.toctree_includes:
        return None
    return parent, page.rpartition("/")[0]


def _replaced(pattern: str, replacement: str, html: str) -> str:
    """Return ``html`` with the only match of a pattern replaced.

    Raises:
        ValueError: there is no match, or more than one: the theme has changed.
    """
    text, count = re.subn(pattern, replacement, html)
    if count != 1:
        raise ValueError(f"{count} matches of {pattern} in the navigation: the theme has changed")
    return text


_navigation: dict[tuple[str, str], str] = {}  # of each branch, without a current page
_summaries: dict[str, list[str]] = {}


def _hide_summary(
    _app: Sphinx, what: str, name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Replace the first paragraph of a property's docstring with a placeholder.

    napoleon would read "The digest, 32 bytes: …" as a type and a text. ``_show_summary`` restores
    the paragraph after napoleon.
    """
    if what in {"attribute", "property"} and lines:
        end = lines.index("") if "" in lines else len(lines)
        _summaries[name] = lines[:end]
        lines[:end] = [_FIRST_PARAGRAPH]


def _show_summary(
    _app: Sphinx, _what: str, name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    if _FIRST_PARAGRAPH in lines:
        place = lines.index(_FIRST_PARAGRAPH)
        lines[place : place + 1] = _summaries.pop(name)


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Add the accessibility corrections and the Content-Security-Policy to every HTML page."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if _DONE in text:  # Sphinx writes only the pages that changed
            continue
        page.write_text(with_policy(accessible(text)), encoding="utf-8")


def accessible(html: str) -> str:
    """Return an HTML page with corrections of the theme for screen readers and keyboards."""
    for old, new in _ACCESSIBLE:
        html = html.replace(old, new)
    return html


def with_policy(html: str) -> str:
    """Return an HTML page with a Content-Security-Policy that lists the hashes of its scripts."""
    texts = [found["text"] for found in _SCRIPT.finditer(html) if "src=" not in found["attributes"]]
    hashes = sorted({_hash(text) for text in texts})
    policy = _POLICY.format("".join(f" {each}" for each in hashes))
    element = f'content="{policy}">{_ICON}'
    before, mark, after = html.partition("<head>")
    return f"{before}{_DONE}{element}{after}" if mark else html


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
