"""The built site, in headless Chromium: wide and on a phone, light and dark, with axe-core.

``make suite`` makes the environment
``.venvs/docs``; the first worker that needs the site builds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import threading
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from certpin import __version__
from certpin.lint import RULES
from scripts.docs import pages
from scripts.docs.__main__ import sphinx_environment, sphinx_words, stage, unbuilt
from scripts.docs.serve import server
from tests.documentation._blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SITE = ROOT / "build/docs"
PYTHON = ROOT / ".venvs/docs/bin/python"
WIDE, PHONE = (1280, 860), (390, 780)
# One page of each kind.
KINDS = (
    "index",
    "guides/rotate",
    "project/contributing",
    "reference/api/certpin",
    "reference/attacks/index",
    "reference/commands/rotate-simulate",
    "reference/environment",
    "reference/formats-proof",
    "reference/json",
    "reference/lint/no-backup",
    "search",
    "source/examples/python/pinned_httpx.py",
)
_LOADS = re.compile(
    r'<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]*)"'
)
# Removes the sections, definitions and rows of a page after the first of each: axe would look at
# thousands that are like them.
_SHORTEN = """
    for (const kind of ["section section", "dl.py", "tbody > tr"])
        [...document.querySelectorAll(`article ${kind}`)].slice(25).forEach(each => each.remove())
"""
_ABANDONED = "net::ERR_ABORTED"  # as Chromium names it
_OVERFLOW = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"


@pytest.fixture(scope="module")
def site(testrun_uid: str) -> Path:
    """The site, built once in a run of the tests: the first worker that needs it builds it."""
    assert PYTHON.exists(), "make docs"
    SITE.parent.mkdir(exist_ok=True)
    with (SITE.parent / "docs.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if lock.read() == testrun_uid:
            return SITE
        done = subprocess.run(
            [PYTHON, "-m", "scripts.docs"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lock.truncate(0)
        lock.write(testrun_uid)
    return SITE


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """The address of the site on this machine."""
    with server(site, 0) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def test_every_generated_page_is_built(site: Path) -> None:
    assert unbuilt(pages(), site) == []
    assert unbuilt(["reference/none.md"], site) == ["reference/none.md"]


def test_the_navigation_of_each_page_marks_that_page_only(site: Path) -> None:
    """The build makes the navigation once for all pages of a folder, and then marks each."""
    for name in {*pages()} - {"index.md"}:
        page = (site / name).with_suffix(".html")
        after = page.read_text(encoding="utf-8").partition('<div class="sidebar-tree">')[2]
        tree = after.partition("</aside>")[0]
        assert tree.count('current-page"><a class="current reference internal" href="#">') == 1
        assert f'href="{page.name}"' not in tree, name


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    found = list(site.rglob("*.html"))
    assert len(found) > 300
    loads = {load for page in found for load in _LOADS.findall(page.read_text(encoding="utf-8"))}
    assert loads == set()
    for style in site.rglob("*.css"):
        assert not re.search(
            r"url\(['\"]?(?:https?:)?//|@import", style.read_text(encoding="utf-8")
        )


def test_every_page_has_a_policy_that_names_no_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        (policy,) = re.findall(
            r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', text
        )
        assert policy.startswith("default-src 'none'; connect-src 'self'; ")
        script = policy.partition("script-src ")[2].partition(";")[0]
        assert "unsafe" not in script
        assert "//" not in policy.replace("sha256-", "").split("script-src")[0]


def test_the_search_knows_the_rules(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert [rule for rule in RULES if f"reference/lint/{rule}" not in index] == []


def test_the_version_is_listed(site: Path) -> None:
    listed = json.loads((site / "versions.json").read_text(encoding="utf-8"))
    assert listed == [{"version": __version__, "url": "./", "current": True}]


# Sphinx reports all of them in one run, and fails at the end.
BROKEN = {
    "[a](none.md)": "'myst' cross-reference target not found: 'none.md'",
    "[a](#none)": "cross-reference target not found: 'none'",
    "```{eval-rst}\n.. autofunction:: certpin.none\n```": "autodoc: failed to import 'none'",
}


def test_sphinx_imports_the_packages_of_the_worktree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/tree/src")
    assert sphinx_environment()["PYTHONPATH"] == f"{ROOT}{os.pathsep}/tree/src"
    monkeypatch.delenv("PYTHONPATH")
    assert sphinx_environment()["PYTHONPATH"] == str(ROOT)


def test_each_warning_of_sphinx_is_reported_and_fails_the_build(tmp_path: Path) -> None:
    page = "\n\n".join(["# Home", *BROKEN, ""])
    stage({"index.md": page}, (), ROOT, tmp_path / "source")
    done = subprocess.run(
        [PYTHON, *sphinx_words(tmp_path / "source", tmp_path / "out")],
        env=sphinx_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    warnings = [line for line in done.stderr.splitlines() if "WARNING: " in line]
    assert [each for each in BROKEN.values() if each not in "\n".join(warnings)] == [], done.stderr


def open_page(
    browser: Browser, size: tuple[int, int], theme: Literal["light", "dark"]
) -> tuple[Page, list[str]]:
    """Return a new browser tab, and a list that collects what goes wrong in the tab.

    The list gets console messages, script errors, failed requests, and requests to other hosts. A
    request that the browser abandons, because the next page is opened, has not failed.
    """
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, reduced_motion="reduce"
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "requestfailed",
        lambda request: (
            None if request.failure == _ABANDONED else said.append(f"failed: {request.url}")
        ),
    )
    page.on(
        "request",
        lambda request: None if "//127.0.0.1:" in request.url else said.append(request.url),
    )
    return page, said


@pytest.mark.peer("chromium-headless-shell")
@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (PHONE, "dark")])
def test_every_kind_of_page_is_accessible(
    browser: Browser, url: str, size: tuple[int, int], theme: Literal["light", "dark"]
) -> None:
    page, said = open_page(browser, size, theme)
    wrong: list[tuple[str, str, str]] = []
    for kind in KINDS:
        page.goto(f"{url}/{kind}.html")
        assert page.locator("h1").count() == 1
        page.evaluate(_SHORTEN)
        violations = Axe().run(page).response["violations"]
        wrong += [(kind, each["id"], each["nodes"][0]["html"]) for each in violations]
    page.close()
    assert (wrong, said) == ([], [])


@pytest.mark.peer("chromium-headless-shell")
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_page_scrolls_sideways(browser: Browser, url: str, size: tuple[int, int]) -> None:
    page, said = open_page(browser, size, "light")
    wider = {}
    for kind in KINDS:
        page.goto(f"{url}/{kind}.html")
        wider[kind] = page.evaluate(_OVERFLOW)
    page.close()
    assert (wider, said) == (dict.fromkeys(KINDS, 0), [])


@pytest.mark.peer("chromium-headless-shell")
@pytest.mark.parametrize("fails", [True, False])
def test_a_failed_request_is_noticed_but_not_an_abandoned_one(
    browser: Browser, url: str, fails: bool
) -> None:
    page, said = open_page(browser, WIDE, "light")
    page.route(
        "**/versions.json",
        # Without an answer, the request lasts until the browser opens the next page.
        lambda route: route.abort("connectionreset") if fails else None,
    )
    with page.expect_event("requestfailed"):
        page.goto(f"{url}/index.html")
        page.goto(f"{url}/{KINDS[-1]}.html")
    page.close()
    assert (f"failed: {url}/versions.json" in said) is fails


@pytest.mark.peer("chromium-headless-shell")
def test_the_search_finds_a_rule(browser: Browser, url: str) -> None:
    page, said = open_page(browser, WIDE, "light")
    page.goto(f"{url}/search.html?q=no-backup")
    page.locator('#search-results a[href*="reference/lint/no-backup.html"]').first.wait_for()
    page.close()
    assert said == []


@pytest.mark.peer("chromium-headless-shell")
def test_the_versions_are_shown_only_if_there_are_several(browser: Browser, url: str) -> None:
    page, said = open_page(browser, WIDE, "light")
    page.goto(f"{url}/guides/rotate.html")
    page.wait_for_load_state("networkidle")
    assert page.locator(".version-selector").count() == 0
    two = [{"version": "2.0", "url": "./", "current": True}, {"version": "1.0", "url": "../1.0/"}]
    page.route("**/versions.json", lambda route: route.fulfill(json=two))
    page.reload()
    page.locator(".version-selector").wait_for()
    shown = page.locator(".version-selector option").all_inner_texts()
    assert shown == ["2.0", "1.0"]
    assert Axe().run(page).response["violations"] == []
    page.close()
    assert said == []


@pytest.mark.peer("chromium-headless-shell")
def test_the_theme_and_the_copy_button_work(browser: Browser, url: str) -> None:
    page, said = open_page(browser, WIDE, "light")
    page.goto(f"{url}/index.html")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator(".theme-toggle:visible").first.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.locator("div.highlight").first.hover()
    assert page.locator("button.copybtn").count() == page.locator("div.highlight").count() > 0
    page.close()
    assert said == ["Changed to dark mode."]
