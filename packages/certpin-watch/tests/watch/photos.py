"""Take a picture of every page: python -m tests.watch.photos [FOLDER], by default build/pages.

Each page is shown in both themes, and in the widths of a desktop and a phone. ``--docs`` writes the
pictures of docs/operate/dashboard.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from certpin_watch.auth.credentials import hash_new_password
from certpin_watch.store.accounts import add_account
from tests._browser import chromium
from tests.watch._pages import a_year, serving
from tests.watch._year_pins import FIRST

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.watch._pages import Served
    from tests.watch._year import Year

WIDE, NARROW = (1280, 860), (360, 780)
SIGN_IN = "sign-in"
_DOCS = Path(__file__).parents[4] / "docs/operate"


def pages(served: Served) -> dict[str, str]:
    """Return the path of every page, by the name of its picture."""
    return pages_of(served.year)


def pages_of(year: Year) -> dict[str, str]:
    """Return the URL path of every page for these data, by the name of its screenshot.

    The page for signing in is left out: without accounts it redirects to the overview of all hosts.
    """
    chain = year.inspected.hex()
    return {
        "fleet": "/",
        "host": f"/hosts/{FIRST[0]}",
        "host-broken": f"/hosts/{FIRST[1]}",
        "host-unseen": "/hosts/new.bank.example",
        "failures": "/failures",
        "failures-year": "/failures?range=365d&by=network",
        "chain": f"/failures/chains/{chain}?host={FIRST[0]}",
        "calendar": "/calendar",
        "pin-sets": "/pin-sets",
        "pin-set": "/pin-sets/bank-app",
        "alerts": "/alerts",
        "alert": "/alerts/1",
        "silences": "/silences",
        "live": "/live",
        "about": "/about",
        "account": "/account",
        "tokens": "/tokens",
        "audit": "/audit",
        "missing": "/nothing",
    }


def photograph(browser: Browser, served: Served, folder: Path, only: str = "") -> None:
    """Take screenshots of all pages with names that contain ``only``, and write them to ``folder``.

    The page for signing in is last, because it needs an account, and then the others require a
    login.
    """
    _in_each_look(browser, served, folder, {k: v for k, v in pages(served).items() if only in k})
    if only in SIGN_IN:
        with served.watch.store.write() as connection:
            password = hash_new_password("four words of a picture", "anna")
            add_account(connection, "anna", "admin", password, served.watch.clock())
        _in_each_look(browser, served, folder, {SIGN_IN: "/"})  # it leads there


def _in_each_look(browser: Browser, served: Served, folder: Path, wanted: dict[str, str]) -> None:
    for theme in ("light", "dark"):
        for name, (width, height) in (("wide", WIDE), ("phone", NARROW)):
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            for title, path in wanted.items():
                page.goto(served.url + path)
                page.screenshot(path=folder / f"{title}-{name}-{theme}.png", full_page=True)
            page.close()


def for_the_docs(browser: Browser, served: Served) -> None:
    """Take the screenshots in the documentation: all hosts in the light theme, a reported chain in
    dark.
    """
    for name, path, theme in (
        ("dashboard-fleet", "/", "light"),
        ("dashboard-chain", pages(served)["chain"], "dark"),
    ):
        page = browser.new_page(
            viewport={"width": 1120, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
        )
        page.goto(served.url + path)
        page.screenshot(path=_DOCS / f"{name}.png")
        page.close()


def main(words: list[str]) -> None:
    """Take the screenshots that the command line requests.

    ``words`` are ``--docs``, or the folder and a part of the names of the pages.
    """
    docs = "--docs" in words
    rest = [word for word in words if not word.startswith("--")]
    folder = Path(rest[0] if rest else "build/pages")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        watch, year = a_year(Path(scratch), hosts=24)
        with serving(watch, year, notifies=docs) as served, chromium() as browser:
            if docs:
                for_the_docs(browser, served)
            else:
                photograph(browser, served, folder, rest[1] if len(rest) > 1 else "")
    sys.stdout.write(f"in {_DOCS if docs else folder}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
