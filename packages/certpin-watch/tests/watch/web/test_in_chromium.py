"""The pages in headless Chromium: every page and form, the keyboard, both themes, a phone.

axe-core finds only problems that a program can detect. It can't judge the order of the content.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from certpin_watch.auth.credentials import hash_new_password
from certpin_watch.store.accounts import add_account
from certpin_watch.store.tables.service import ALERTS
from tests.watch._pages import a_year, serving
from tests.watch._year_pins import FIRST
from tests.watch.photos import NARROW, WIDE, pages
from tests.watch.web.hostile import ALERT, write_hostile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from playwright.sync_api import Browser, ConsoleMessage, Page

    from tests.watch._pages import Served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer("chromium-headless-shell"),
    pytest.mark.timeout(240),
]

_MISSING = "/nothing"  # a 404 is an error in the console
# Each size with another theme: the layout doesn't depend on the theme.
_SCREENS: tuple[tuple[tuple[int, int], Literal["light", "dark"]], ...] = (
    (WIDE, "light"),
    (NARROW, "dark"),
)
_SINKS = (
    "document.body.innerHTML = '<b>'",
    "document.body.insertAdjacentHTML('beforeend', '<b>')",
    "document.createElement('iframe').srcdoc = '<b>'",
    "document.createElement('script').src = '/static/watch.js'",
    "document.createElement('script').text = '1'",
    "setTimeout('1')",
    "trustedTypes.createPolicy('other', {})",
    "trustedTypes.createPolicy('default', {createHTML: text => text})",
)
_OUT_OF_DATE = "This page is out of date: the monitoring service does not answer"
_PASSWORD, _OTHER = "four words of a test", "four other words of it"
_WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with data of a year. Its live page updates every second."""
    watch, year = a_year(tmp_path_factory.mktemp("year"), hosts=8, groups=400)
    with serving(watch, year, every=1) as found:
        yield found
    watch.store.close()


@contextmanager
def tab(browser: Browser, served: Served, **more: Any) -> Iterator[Page]:
    """Open a tab. Afterwards, require that no script failed and that the CSP blocked nothing."""
    context = browser.new_context(base_url=served.url, reduced_motion="reduce", **more)
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"] != served.url + _MISSING:
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def test_every_page_is_accessible_in_both_themes_and_on_a_phone(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served) as page:
        for path in pages(served).values():
            page.goto(path)
            _require_accessible_in_each_theme(page)


def _families() -> list[str]:
    """Return the installed fonts among those of a minimal Debian and of a typical desktop."""
    known = subprocess.run(["fc-list", ":", "family"], capture_output=True, text=True, check=True)
    families = [name for name in ("DejaVu Sans", "Noto Sans") if name in known.stdout]
    assert families
    return families


def test_no_page_is_wider_than_the_screen_in_any_font(browser: Browser, served: Served) -> None:
    """Also with wide fonts, and with the spacing that users may set (WCAG 2.2, 1.4.12)."""
    spaced = "* { letter-spacing: .05em !important; }"
    styles = [f"* {{ font-family: '{name}' !important; }}" for name in _families()]
    with tab(browser, served, bypass_csp=True) as page:
        for path in pages(served).values():
            page.goto(path)
            for style in (*styles, spaced):
                page.add_style_tag(content=style)
                for width in (1024, 760, NARROW[0]):
                    page.set_viewport_size({"width": width, "height": 800})
                    assert not page.evaluate(_WIDER), f"{path} is wider than {width}: {style}"


def test_times_can_be_shown_in_the_time_zone_of_the_browser(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, timezone_id="Asia/Tokyo", locale="en-GB") as page:
        page.goto("/alerts/1")
        moment = page.locator("time[data-zoned=minute]").first
        expect(moment).to_contain_text("UTC")
        page.get_by_role("button", name="Times: UTC").click()
        expect(moment).to_contain_text("GMT+9")
        expect(page.locator("#zone-words")).to_contain_text("Asia/Tokyo")
        page.goto("/live")
        expect(page.locator("#live time[data-zoned=second]")).to_contain_text("GMT+9")
        page.wait_for_timeout(1500)  # the page refreshes itself meanwhile
        expect(page.locator("#live time[data-zoned=second]")).to_contain_text("GMT+9")
        page.get_by_role("button", name="Times: your zone").click()
        expect(page.locator("#live time[data-zoned=second]")).to_contain_text("UTC")


def test_touch_targets_on_a_phone_are_large_enough(browser: Browser, served: Served) -> None:
    viewport = {"width": NARROW[0], "height": NARROW[1]}
    small = """() => [...document.querySelectorAll('button, input, select, summary, nav a')]
        .filter(element => element.checkVisibility() && element.type !== 'hidden')
        .filter(element => element.getBoundingClientRect().height < 43.5)
        .map(element => element.outerHTML.slice(0, 90))"""
    with tab(browser, served, viewport=viewport, has_touch=True) as page:
        for path in ("/", f"/hosts/{FIRST[0]}", "/failures", "/alerts/1", "/silences"):
            page.goto(path)
            assert page.evaluate(small) == [], path


def test_the_keyboard_reaches_a_host_from_the_skip_link(browser: Browser, served: Served) -> None:
    with tab(browser, served) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        link = page.locator("#hosts").get_by_role("link", name=FIRST[1], exact=True)
        for _ in range(40):
            page.keyboard.press("Tab")
            if link.evaluate("element => element === document.activeElement"):
                break
        outline = "element => getComputedStyle(element).outlineStyle"
        assert link.evaluate(outline) == "solid"
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(FIRST[1])


def test_a_filter_updates_the_table_and_the_address_without_a_page_load(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served) as page:
        page.goto("/")
        page.evaluate("window.same = true")
        page.get_by_label("Name contains").press_sequentially("login")
        expect(page.locator("#hosts tbody tr")).to_have_count(1)
        page.wait_for_url(re.compile(r"q=login"))
        page.get_by_label("Status").select_option("holds")
        expect(page.locator("#hosts")).to_contain_text("No host matches")
        assert page.evaluate("window.same") is True


def test_a_chosen_theme_is_remembered(browser: Browser, served: Served) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with tab(browser, served, color_scheme="light") as page:
        page.goto("/")
        light = page.evaluate(background)
        page.get_by_role("button", name="Theme: as the system").click()
        page.get_by_role("button", name="Theme: light").click()
        page.reload()
        expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert page.evaluate(background) != light


def test_a_silence_is_created_and_ended_with_only_the_keyboard(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served) as page:
        page.goto("/alerts/1")
        page.get_by_label("Duration").focus()
        page.keyboard.press("Tab")
        page.keyboard.type("our own proxy")
        page.keyboard.press("Enter")
        row = page.get_by_role("row").filter(has_text="our own proxy")
        expect(row).to_contain_text("Active")
        row.get_by_role("button", name="End").focus()
        page.keyboard.press("Enter")
        expect(row).to_contain_text("Ended")


def test_an_administrator_works_with_only_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    watch, year = a_year(tmp_path, hosts=4, groups=50)
    with watch.store.write() as connection:
        password = hash_new_password(_PASSWORD, "anna")
        add_account(connection, "anna", "admin", password, watch.clock())
    viewport = {"width": NARROW[0], "height": NARROW[1]}
    with serving(watch, year) as served, tab(browser, served, viewport=viewport) as page:
        _sign_in(page, "/tokens", _PASSWORD)
        _create_and_revoke_a_token(page)
        page.goto("/account")
        _require_accessible(page)
        page.get_by_label("Current password").focus()
        _type(page, _PASSWORD, _OTHER, _OTHER)
        expect(page.get_by_role("heading", level=1)).to_have_text("anna")
        page.get_by_role("button", name="Sign out", exact=True).press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
        _require_accessible(page)
        _sign_in(page, "/audit", _OTHER)
        expect(page.get_by_role("table")).to_contain_text("account.password")
        _require_accessible(page)
        page.goto("/account")
        page.get_by_role("button", name="Sign out everywhere").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    watch.store.close()


def _sign_in(page: Page, path: str, password: str) -> None:
    """Request a page, sign in, and wait for that page."""
    page.goto(path)
    expect(page.get_by_label("Name")).to_be_focused()
    _require_accessible_in_each_theme(page)
    _type(page, "anna", password)
    page.wait_for_url(f"**{path}")


def _create_and_revoke_a_token(page: Page) -> None:
    page.get_by_label("Purpose").focus()
    page.keyboard.type("prometheus")
    page.get_by_label("metrics").press("Space")
    page.get_by_label("Days until").press("Enter")
    expect(page.locator("#made-token")).to_contain_text("certpin_")
    row = page.get_by_role("row").filter(has_text="prometheus")
    expect(row).to_contain_text("metrics")
    _require_accessible(page)
    row.get_by_role("button", name="Revoke").press("Enter")
    expect(row).to_contain_text("revoked")


def _type(page: Page, *words: str) -> None:
    """Type into the focused field and the following ones, and submit the form."""
    for index, word in enumerate(words):
        if index:
            page.keyboard.press("Tab")
        page.keyboard.type(word)
    page.keyboard.press("Enter")


def _require_accessible(page: Page) -> None:
    page.evaluate(Axe().axe_script)
    _require_no_violation(page)


def _require_accessible_in_each_theme(page: Page) -> None:
    page.evaluate(Axe().axe_script)  # once: loading axe takes most of the time
    for (width, height), theme in _SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        _require_no_violation(page)


def _require_no_violation(page: Page) -> None:
    found = AxeResults(page.evaluate("axe.run({resultTypes: ['violations']})"))
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
    assert not page.evaluate(_WIDER), f"{page.url} is wider than the screen"


def test_the_live_page_updates_pauses_while_hidden_and_reports_that_it_is_out_of_date(
    browser: Browser, served: Served
) -> None:
    hide = """state => {
        Object.defineProperty(document, 'hidden', {value: state, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with tab(browser, served) as page:
        page.goto("/live")
        _open_an_alert(served, "It began while the page was visible.")
        expect(page.get_by_text("It began while the page was visible.")).to_be_visible()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.evaluate(hide, True)
        page.wait_for_timeout(2200)  # two intervals of the timer in the page
        assert requests == []
        _open_an_alert(served, "It began while the page was hidden.")
        page.evaluate(hide, False)
        expect(page.get_by_text("It began while the page was hidden.")).to_be_visible()
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    page.goto("/live")
    page.route("**/live", lambda route: route.abort())
    expect(page.get_by_text(_OUT_OF_DATE)).to_be_visible()
    page.unroute("**/live")
    expect(page.get_by_text(_OUT_OF_DATE)).to_be_hidden()
    context.close()


def test_everything_works_without_scripts(browser: Browser, served: Served) -> None:
    with tab(browser, served, java_script_enabled=False) as page:
        page.goto("/")
        page.get_by_label("Name contains").fill("login")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#hosts tbody tr")).to_have_count(1)
        page.goto("/failures?range=7d")
        page.get_by_role("link", name="Network", exact=True).click()
        expect(page.get_by_role("heading", name=re.compile("by network"))).to_be_visible()
        page.get_by_text("Show as a table").click()
        expect(page.get_by_role("columnheader", name="corp-guest")).to_be_visible()
        page.goto("/silences")
        page.get_by_label("Rule").select_option("strange-chain")
        page.get_by_label("Reason").fill("without a script")
        with page.expect_request(lambda request: request.method == "POST") as sent:
            page.get_by_role("button", name="Create silence").click()
        # A stricter Referrer-Policy would remove the origin, and a proxy may remove Sec-Fetch-Site.
        assert sent.value.all_headers()["origin"] == served.url
        expect(page.get_by_text("without a script")).to_be_visible()
        page.goto("/live")
        assert 'http-equiv="refresh"' in page.content()


def test_trusted_types_allow_only_one_way_from_text_to_elements(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    page.goto("/")
    for sink in _SINKS:
        script = f"() => {{ try {{ {sink} }} catch (error) {{ return error.name }} }}"
        assert page.evaluate(script) == "TypeError", sink
    context.close()


def test_pages_work_on_postgresql(
    browser: Browser, new_database: Callable[[], str], tmp_path: Path
) -> None:
    watch, year = a_year(tmp_path, hosts=4, groups=100, url=new_database())
    write_hostile(watch.store, year.now)
    with serving(watch, year) as served:
        with tab(browser, served) as page:
            for path in [*pages(served).values(), f"/alerts/{ALERT}", f"/hosts/{FIRST[3]}"]:
                answer = page.goto(path) if path != _MISSING else None
                assert answer is None or answer.status == 200, path
                assert page.evaluate("window.hacked") is None, path
        test_a_silence_is_created_and_ended_with_only_the_keyboard(browser, served)
        test_everything_works_without_scripts(browser, served)
    watch.store.close()


# The last test: it adds hostile data to the store of the module.
def test_hostile_text_never_runs(browser: Browser, served: Served) -> None:
    digest = write_hostile(served.watch.store, served.year.now).hex()
    paths = [
        *(path for name, path in pages(served).items() if name != "missing"),
        f"/failures/chains/{digest}?host={FIRST[0]}", f"/alerts/{ALERT}", f"/hosts/{FIRST[3]}",
        "/failures?by=app", "/failures?range=365d&by=reason", "/live",
    ]  # fmt: skip
    for width, height in (WIDE, NARROW):
        with tab(browser, served, viewport={"width": width, "height": height}) as page:
            for path in paths:
                page.goto(path)
                assert page.evaluate("window.hacked") is None, path
                assert page.locator("img").count() == 0, path
                assert not page.evaluate(_WIDER), f"{path} is wider than {width}"
    with tab(browser, served) as page:
        page.goto(f"/alerts/{ALERT}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("<script>window.hacked=1")
        expect(page.get_by_role("heading", level=1)).to_contain_text(r"abc\u202egpj.exe")


def _open_an_alert(served: Served, summary: str) -> None:
    now = int(served.watch.clock().timestamp())
    with served.watch.store.write() as connection:
        connection.execute(
            ALERTS.insert().values(
                key=summary, rule="strange-chain", severity="critical", host=FIRST[0],
                pin_set="bank-app", summary=summary, command="", details="{}", clients=None,
                opened_at=now, last_at=now, repeats=0,
            )
        )  # fmt: skip
