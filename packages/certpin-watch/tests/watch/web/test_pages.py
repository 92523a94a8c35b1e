"""The pages: their content, their forms, who may see them, and hostile text in reports."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.testclient import TestClient

from certpin.errors import StoreError
from certpin.lab import Authority
from certpin.pins import HostPattern
from certpin.rotation import format_journal, parse_journal
from certpin.rotation.history import journal_path
from certpin_watch.auth.credentials import make_token
from certpin_watch.auth.identity import Identity
from certpin_watch.html import environment
from certpin_watch.permissions import ROLES
from certpin_watch.secret import Secret
from certpin_watch.settings import AlertSettings, NotificationSettings, RetentionSettings
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.retention import record_sweep
from certpin_watch.store.tables.observations import LATEST, SIGHTINGS
from certpin_watch.store.tables.service import ALERTS, AUDIT, SILENCES
from certpin_watch.web.about import setting_rows
from certpin_watch.web.routes import _PAGES, page_routes
from tests.reports.codecs._documents import JSON, certpin
from tests.watch._pages import REPOSITORY, a_year, app_of
from tests.watch._year_pins import FIRST
from tests.watch.photos import pages_of
from tests.watch.web.hostile import ALERT, SENT, write_hostile
from tests.watch.web.test_hostile_reports import post_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.responses import Response

    from certpin.pins import PinSet
    from certpin_watch.context import Watch
    from tests.watch._year import Year

WHERE = "http://127.0.0.1:8460"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watch, Year, bytes]]:
    """Yield a service context with generated data of a year, and hostile data of an attacker.

    Yields:
        The service context, the data of the year, and the digest of a hostile chain.
    """
    watch, year = a_year(tmp_path_factory.mktemp("year"), hosts=8, groups=300)
    yield watch, year, write_hostile(watch.store, year.now)
    watch.store.close()


@pytest.fixture(scope="module")
def client(made: tuple[Watch, Year, bytes]) -> TestClient:
    """A browser on this machine, without a login."""
    return client_of(made[0])


def client_of(watch: Watch) -> TestClient:
    """Return a test client that requests the pages of ``watch`` as a local browser does."""
    return TestClient(
        app_of(watch), WHERE, headers={"accept": "text/html"}, client=("127.0.0.1", 50000)
    )


def every_page(year: Year, chain: bytes) -> list[str]:
    """Return addresses of all pages."""
    return [
        "/", "/?sort=name&status=holds&q=bank&page=3", f"/hosts/{FIRST[0]}", f"/hosts/{FIRST[3]}",
        "/hosts/new.bank.example", "/failures", "/failures?range=365d&by=network",
        "/failures?by=app",
        f"/failures?range=7d&host={FIRST[0]}", f"/failures/chains/{chain.hex()}?host={FIRST[0]}",
        f"/failures/chains/{year.inspected.hex()}", "/pin-sets", "/pin-sets/bank-app",
        "/calendar",
        "/pin-sets/bank-app?days=365", "/alerts", "/alerts?which=resolved", f"/alerts/{ALERT}",
        "/alerts/1", "/silences", "/live", "/about",
    ]  # fmt: skip


@pytest.mark.medium
def test_each_page_is_tested_photographed_and_documented(made: tuple[Watch, Year, bytes]) -> None:
    """The tests of this file request ``every_page``, and those in a browser ``pages_of``."""
    _, year, chain = made
    page = (REPOSITORY / "docs/operate/dashboard.md").read_text(encoding="utf-8")
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line[:3] == "| `")
    places = {
        "every_page of this file": every_page(year, chain),
        "pages_of of tests/watch/photos.py": pages_of(year).values(),
        "the first table of docs/operate/dashboard.md": re.findall(r"`([^`]+)`", rows),
    }
    missing = [
        f"fix: {route} in {place}"
        for route, _ in _PAGES
        for place, paths in places.items()
        if not _has_path(route, paths)
    ]
    assert not missing, "\n".join(missing)


def _has_path(route: str, paths: Iterable[str]) -> bool:
    """Return True if a path matches a route, such as ``/alerts/{number}``; queries don't count."""
    wanted = re.compile(re.sub(r"\{\w+\}", "[^/]+", route))
    return any(wanted.fullmatch(path.partition("?")[0]) for path in paths)


@pytest.mark.medium
def test_the_calendar_lists_the_events_of_each_pin_set(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    page = client.get("/calendar").text
    for watched in made[0].pin_files.snapshot().sets:
        assert f'href="/pin-sets/{watched.pins.name}"' in page
    assert "The pins expire: clients then refuse every connection." in page
    assert "The certificate of the server expires" in page  # of a chain that a probe saw


@pytest.mark.medium
def test_the_calendar_lists_a_cross_sign_that_a_server_sends(tmp_path: Path) -> None:
    watch, year = a_year(tmp_path, hosts=8, groups=1)
    root, older = Authority("Root", now=year.now), Authority("Older Root", now=year.now)
    crossed = Authority("Root", issuer=older, key=root.key, days=90).certificate
    leaf = root.issue(FIRST[0]).certificate
    chains = [(leaf.der, crossed.der), (leaf.der, root.certificate.der)]
    with watch.store.write() as connection:
        served, verified = insert_observed_chains(connection, chains, year.now)
        seen = update(SIGHTINGS).where(LATEST, SIGHTINGS.c.host == FIRST[0])
        connection.execute(seen.values(served=served, verified=verified))
    page = client_of(watch).get("/calendar").text
    watch.store.close()
    assert "A cross-sign that the server sends expires: CN=Root" in page


def csrf_of(page: str) -> str:
    """Return the token of a form."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


@pytest.mark.medium
def test_hostile_text_is_escaped_on_every_page(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    seen = 0
    for path in every_page(made[1], made[2]):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "<script>window" not in answer.text, path
        assert "<img" not in answer.text, path
        assert "\u202e" not in answer.text, path
        assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"|&[^;]+;[^<]*', "", answer.text)), path
        seen += answer.text.count("&lt;script&gt;window.hacked")
    assert seen > 30


@pytest.mark.medium
def test_no_page_has_an_inline_script_or_style(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    for path in every_page(made[1], made[2]):
        page = client.get(path).text
        assert not re.search(r"<style|<script(?! src=)|\sstyle=|\sonclick|javascript:", page), path


@pytest.mark.medium
def test_the_fleet_page_lists_the_worst_host_first_and_missing_data(client: TestClient) -> None:
    page = client.get("/").text
    assert "2 hosts are broken" in page
    assert page.index(f"/hosts/{FIRST[1]}") < page.index(f"/hosts/{FIRST[3]}")
    assert "No location has probed new.bank.example yet" in page


def test_filters_hide_other_hosts(client: TestClient) -> None:
    page = client.get("/?q=login&status=broken").text
    assert "1 of 8 hosts" in page
    assert f"/hosts/{FIRST[0]}" not in page


def _has_digests_as_in_pins(page: str) -> bool:
    """Return True if a page shows each SHA-256 of a certificate with colons, and has one."""
    shown = re.findall(r"SHA-256(?: <b>differs</b>)?</dt><dd><code>([^<]*)</code>", page)
    return bool(shown) and all(
        re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", each) for each in shown
    )


def test_the_page_of_a_host_shows_chain_pins_and_rotation(client: TestClient) -> None:
    page = client.get(f"/hosts/{FIRST[0]}").text
    assert page.count("<svg") > 5
    assert "pinned (leaf)" in page
    assert "Not yet, and the date is unknown: clients of version 9 refuse it" in page
    assert "another certificate, the same key" in page
    assert _has_digests_as_in_pins(page)


@pytest.mark.medium
def test_a_key_of_a_host_that_no_version_has_is_not_said_to_be_accepted(tmp_path: Path) -> None:
    watch, year = a_year(tmp_path, hosts=len(FIRST), groups=1)
    journal, new = journal_path(year.pins[0]), HostPattern.parse(FIRST[5])
    before = [
        replace(event, pins=_without(event.pins, new)) if event.pins else event
        for event in parse_journal(journal.read_text("utf-8"))
    ]
    journal.write_text(format_journal(before), "utf-8")
    page = client_of(watch).get(f"/hosts/{FIRST[5]}").text
    watch.store.close()
    assert "Not known: no version that clients may hold has this host." in page
    assert "Every client accepts it, since" not in page


def _without(pins: PinSet, pattern: HostPattern) -> PinSet:
    return replace(pins, policies=tuple(p for p in pins.policies if p.pattern != pattern))


def test_the_page_of_a_host_reports_an_unpinned_key(client: TestClient) -> None:
    page = client.get(f"/hosts/{FIRST[1]}").text
    assert "No certificate of this path is pinned." in page


@pytest.mark.medium
def test_a_reported_chain_is_compared_and_its_issuer_is_a_claim(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    page = client.get(f"/failures/chains/{made[1].inspected.hex()}").text
    assert "It calls itself Zscaler, which inspects TLS" in page
    assert "only a claim of the certificate" in page
    assert "Issuer <b>differs</b>" in page
    assert "No location of the monitor ever saw this chain at api.bank.example" in page
    assert _has_digests_as_in_pins(page)


@pytest.mark.medium
def test_no_page_shows_an_unpinned_key_in_green(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    """The chain comes from the host's usual authority, but its key is not pinned: a possible
    attack.
    """
    watch, year, _ = made
    chain = year.misissued.hex()
    page = client.get(f"/failures/chains/{chain}?host={FIRST[0]}").text
    assert 'class="verdict bad"' in page
    assert "An authority did issue it for this host: it may be an attack." in page
    for path in (f"/failures?host={FIRST[0]}", f"/hosts/{FIRST[0]}", "/live"):
        rows = [row for row in re.split("<li|<tr|<div", client.get(path).text) if chain in row]
        assert rows, path
        assert all("badge good" not in row for row in rows), path
    with watch.store.read() as connection:
        latest = select(SIGHTINGS.c.served).where(SIGHTINGS.c.host == FIRST[0], LATEST)
        served = connection.execute(latest).scalars().first() or b""
    page = client.get(f"/failures/chains/{served.hex()}?host={FIRST[0]}").text
    assert 'class="verdict good"' in page
    assert "the pins accept this chain" in page


def test_a_chain_seen_at_another_host_does_not_count_for_this_one(
    made: tuple[Watch, Year, bytes], client: TestClient
) -> None:
    watch, year, _ = made
    with watch.store.write() as connection:
        connection.execute(
            SIGHTINGS.update()
            .where(SIGHTINGS.c.host == FIRST[4])
            .values(served=year.misissued, outcome="unverified", verified=b"")
        )
    page = client.get(f"/failures/chains/{year.misissued.hex()}?host={FIRST[0]}").text
    assert f"No location of the monitor ever saw this chain at {FIRST[0]}" in page


def test_original_reports_are_laid_out_and_cut(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    page = client.get(f"/failures/chains/{made[1].inspected.hex()}").text
    assert page.count('<details class="sent">') == 5
    assert f"{{\n  &#34;hostname&#34;: &#34;{FIRST[0]}&#34;,\n" in page
    assert "from <bdi>198.51.100.0/24</bdi>" in page
    assert "Any client can send any text: nothing in it is verified." in page
    page = client.get(f"/failures/chains/{made[2].hex()}").text
    assert page.count("</pre>") == page.count("</details>") == len(SENT)
    assert "\\xff\\xed\\xa0\\x80" in page
    assert "characters more" in page
    assert max(map(len, re.findall("<pre[^>]*>([^<]*)", page))) <= 100_000


def test_a_reported_bundled_version_delays_adopted(client: TestClient) -> None:
    page = client.get("/pin-sets/bank-app").text
    assert "Version 9 is in a binary that" in page
    assert "Clients report versions that are not in the journal" in page


@pytest.mark.medium
def test_every_link_to_a_host_leads_to_a_page(tmp_path: Path) -> None:
    watch, year = a_year(tmp_path, hosts=8, groups=300)
    chain = write_hostile(watch.store, year.now)
    unpinned = certpin(hostname="other", policy="", id="0" * 32)
    assert asyncio.run(post_reports(watch, [("", unpinned, JSON)])) == [204]
    with watch.store.write() as connection:
        _open(connection, year, 531, host="*.bank.example")
    client, seen = client_of(watch), set[str]()
    pages = [*every_page(year, chain), "/failures?host=other", "/alerts/531"]
    for path in pages:
        seen.update(re.findall(r'href="(/hosts/[^"]+)"', client.get(path).text))
    assert len(seen) >= 8
    assert {path: client.get(path).status_code for path in seen} == dict.fromkeys(seen, 200)
    assert 'href="/failures?host=other"' in client.get("/failures").text
    assert "host=%2A" not in client.get("/alerts/531").text, "a pattern has no page"
    watch.store.close()


@pytest.mark.parametrize(
    "path",
    ["/hosts/nowhere.example", "/hosts/%3Cscript%3E", "/failures/chains/zz", "/alerts/77777",
     f"/alerts/{2**63}", "/alerts/last", "/alerts/%C2%B2", f"/failures/chains/{'0' * 64}",
     "/pin-sets/none"],
)  # fmt: skip
def test_an_unknown_thing_is_answered_with_a_404_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Not found</h1>" in answer.text
    assert "<script>" not in answer.text


def test_an_unavailable_store_is_reported_without_old_data(
    made: tuple[Watch, Year, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("the disk of the database is full", reason="full")

    client = client_of(made[0])
    client.get("/")
    monkeypatch.setattr("certpin_watch.web.hosts.hosts.names", refuse)
    answer = client.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "the disk of the database is full" in answer.text
    assert "bank.example" not in answer.text


@pytest.mark.medium
def test_creating_and_ending_a_silence_is_audited(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    given = {"rule": "strange-chain", "host": "API.bank.example.", "length": "4h", "why": "known"}
    token = csrf_of(client.get("/silences").text)
    answer = client.post("/silences", data=given | {"csrf": token}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/silences")
    with made[0].store.read() as connection:
        row = connection.execute(select(SILENCES).where(SILENCES.c.why == "known")).one()
    assert (row.rule, row.host, row.until - row.since) == ("strange-chain", FIRST[0], 4 * 3600)
    assert "Silenced until" in client.get("/alerts/1").text
    other = given | {"host": "api.bank.exmple", "csrf": token}
    assert (
        "has api.bank.exmple: did you mean api.bank.example?"
        in client.post("/silences", data=other).text
    )
    assert client.post(f"/silences/{row.id}/end", data={"csrf": token}).status_code == 200
    assert client.post(f"/silences/{row.id}/end", data={"csrf": token}).status_code == 404
    with made[0].store.read() as connection:
        actions = connection.execute(select(AUDIT.c.what).order_by(AUDIT.c.id)).scalars().all()
    assert actions[-3:] == ["silence.made", "silence.made", "silence.ended"]


@pytest.mark.parametrize(
    "wrong",
    [{"why": ""}, {"rule": "", "host": ""}, {"length": "9y"}, {"why": "a\nb"}, {"rule": "strange"}],
)
def test_an_invalid_silence_is_refused_and_the_form_keeps_its_values(
    client: TestClient, wrong: dict[str, str]
) -> None:
    given = {"rule": "strange-chain", "host": "kept.example", "length": "4h", "why": "because"}
    token = csrf_of(client.get("/silences").text)
    answer = client.post("/silences", data=given | {"csrf": token} | wrong)
    assert answer.status_code == 422
    assert "The silence was not created" in answer.text
    assert "host" in wrong or 'value="kept.example"' in answer.text


def test_a_form_without_its_csrf_token_changes_nothing(client: TestClient) -> None:
    given = {"rule": "strange-chain", "host": "", "length": "1h", "why": "forged"}
    assert client.post("/silences", data=given).status_code == 403
    assert "forged" not in client.get("/silences").text


def test_a_viewer_has_no_forms_and_cannot_post_them(
    made: tuple[Watch, Year, bytes],
) -> None:
    viewer = Identity("viewer", kind="account", scopes=ROLES["viewer"], csrf="0123456789abcdef")

    async def named(request: Request, following: Callable[[Request], Any]) -> Response:
        request.state.identity = viewer
        answer: Response = await following(request)
        return answer

    app = Starlette(
        routes=page_routes(made[0]), middleware=[Middleware(BaseHTTPMiddleware, dispatch=named)]
    )
    reader = TestClient(app, WHERE, headers={"accept": "text/html"})
    assert "Silence strange-chain" not in reader.get("/alerts/1").text
    assert "New silence" not in reader.get("/silences").text
    for path in ("/silences", "/silences/1/end"):
        given = {"rule": "x", "host": "", "length": "1h", "why": "y", "csrf": viewer.csrf}
        assert reader.post(path, data=given).status_code == 403


@pytest.mark.medium
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/silences", {"rule": "none", "host": "", "length": "1h", "why": "x"}),
        ("/alerts/1/acknowledge", {"note": "x" * 501}),
    ],
)
def test_a_token_for_silences_gets_no_page_if_its_form_is_refused(
    made: tuple[Watch, Year, bytes], path: str, form: dict[str, str]
) -> None:
    with made[0].store.write() as connection:
        now = made[0].clock()
        tokens = [
            make_token(connection, "test", scopes, by="test", now=now)[1]
            for scopes in (["silence"], ["silence", "read"])
        ]
    answers = [
        client_of(made[0]).post(path, data=form, headers={"authorization": f"Bearer {token}"})
        for token in tokens
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    (title,) = re.findall(
        "<h1.*</h1>", client_of(made[0]).get(path.removesuffix("/acknowledge")).text
    )
    assert [title in answer.text for answer in answers] == [False, True]
    assert "The form was refused" in answers[0].text


def test_without_an_identity_every_page_answers_401(made: tuple[Watch, Year, bytes]) -> None:
    stranger = TestClient(Starlette(routes=page_routes(made[0])), WHERE)
    for path in every_page(made[1], made[2]):
        assert stranger.get(path, follow_redirects=False).status_code == 401, path


def test_the_fleet_page_reports_an_unreadable_pin_file(
    made: tuple[Watch, Year, bytes], client: TestClient
) -> None:
    path = made[1].pins[0]
    good = path.read_text("utf-8")
    client.get("/")  # the good content has to be known
    path.write_text("nonsense", "utf-8")
    try:
        page = client.get("/").text
    finally:
        path.write_text(good, "utf-8")
    assert "A file can&#39;t be read; its last readable content" in page
    assert f"/hosts/{FIRST[0]}" in page


def test_no_page_contains_secrets_of_the_settings(made: tuple[Watch, Year, bytes]) -> None:
    tell = NotificationSettings("pager", Secret("https://hooks.example/s3cr3t"))
    changed = replace(made[0].settings, alerts=AlertSettings(tell=(tell,)), nats=Secret("s3cr3t"))
    page = client_of(replace(made[0], settings=changed)).get("/about").text
    assert "pager" in page
    assert "s3cr3t" not in page + str([*setting_rows(tell, {})])


def test_about_shows_the_window_of_repeats_and_failing_retention(
    made: tuple[Watch, Year, bytes],
) -> None:
    watch = made[0]
    page = client_of(watch).get("/about").text
    assert "Repeated reports are recognised for</dt><dd>8.0 days" in page
    assert "Retention of" not in page
    short = replace(watch.settings, retention=RetentionSettings(identities=3))
    now = int(watch.clock().timestamp())
    try:
        with watch.store.write() as connection:
            record_sweep(connection, "audit", now, "busy")
        page = client_of(replace(watch, settings=short)).get("/about").text
    finally:
        with watch.store.write() as connection:
            record_sweep(connection, "audit", now)
    assert "Retention of audit</dt><dd>last complete never" in page
    assert "Old rows of audit are not deleted: the database was busy for too long." in page
    assert "too short" in page
    assert "A repeated report is recognised for 3.0 days, but clients send one again" in page


def test_static_files_have_immutable_addresses(client: TestClient) -> None:
    page = client.get("/").text
    for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = client.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/../pages/render.py").status_code == 404
    assert client.get("/static/render.py").status_code == 404


def test_the_page_of_a_host_reports_a_silent_location(client: TestClient) -> None:
    assert (
        "The last result of the location singapore is from 3 days ago"
        in client.get(f"/hosts/{FIRST[3]}").text
    )


def test_the_alerts_of_a_host_are_ordered_by_severity(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    with made[0].store.write() as connection:
        for number, severity in ((501, "critical"), (502, "info"), (503, "warning")):
            _open(connection, made[1], number, severity=severity, host=FIRST[5])
    page = client.get(f"/hosts/{FIRST[5]}").text
    assert page.index("/alerts/501") < page.index("/alerts/503") < page.index("/alerts/502")


def test_a_recovering_alert_is_shown_as_such(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    now = int(made[1].now.timestamp())
    with made[0].store.write() as connection:
        _open(connection, made[1], 511, host=FIRST[5], gone_at=now - 240, command="certpin check")
    page = client.get("/alerts/511").text
    assert "Condition gone since" in page
    assert "unless the condition returns before then" in page
    for path in ("/alerts", f"/hosts/{FIRST[5]}"):
        assert "recovering" in client.get(path).text.lower()


@pytest.mark.medium
def test_acknowledging_an_alert_and_undoing_it_is_audited(
    client: TestClient, made: tuple[Watch, Year, bytes]
) -> None:
    with made[0].store.write() as connection:
        _open(connection, made[1], 521)
    page = client.get("/alerts/521").text
    given = {"csrf": csrf_of(page), "note": "ticket <12>"}
    assert client.post("/alerts/521/acknowledge", data={"note": "forged"}).status_code == 403
    wrong = client.post("/alerts/521/acknowledge", data=given | {"note": "x" * 501})
    assert wrong.status_code == 422
    assert "the note is too long" in wrong.text.lower()
    page = client.post("/alerts/521/acknowledge", data=given).text
    assert "ticket &lt;12&gt;" in page
    assert "Acknowledged by" in page
    assert "Undo</button>" in page
    page = client.post("/alerts/521/unacknowledge", data=given).text
    assert "Acknowledged by" not in page
    with made[0].store.read() as connection:
        rows = connection.execute(select(AUDIT).where(AUDIT.c.subject == "521")).all()
    assert [row.what for row in rows] == ["alert.acknowledged", "alert.unacknowledged"]


def test_days_are_coloured_only_for_the_reason_of_the_status() -> None:
    days = environment().get_template("_parts.html").module.days  # type: ignore[attr-defined]
    assert str(days(6.2, None, False)) == '<span class="">6 days</span>'
    assert str(days(1.0, None, True)) == '<span class="soon">1 day</span>'
    assert str(days(-3.5, None, True)) == '<span class="late">expired 3 days ago</span>'


def _open(connection: Connection, year: Year, number: int, **more: Any) -> None:
    now = int(year.now.timestamp())
    values: dict[str, Any] = {
        "key": f"test {number}",
        "rule": "pin-mismatch",
        "severity": "warning",
    }
    values |= {"host": "", "pin_set": "", "summary": f"Problem {number}.", "command": ""}
    values |= {"details": "{}", "clients": None, "opened_at": now - 600, "last_at": now - 300}
    connection.execute(ALERTS.insert().values(id=number, repeats=0, **values | more))
