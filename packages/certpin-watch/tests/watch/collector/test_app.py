"""The way in: what is taken, what is refused, and what it says then."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import brotli
import pytest

from certpin_watch.collector.app import Collector
from certpin_watch.collector.intake import NotDurableError
from tests.watch.collector import bodies
from tests.watch.collector.asking import Asked, Shelf, ask, post
from tests.watch.collector.serving import make_watch

if TYPE_CHECKING:
    from pathlib import Path

REPORT = bodies.body(1)
NEL = "application/reports+json"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def _collector(shelf: Shelf, tmp_path: Path, **limits: Any) -> Collector:
    return Collector(make_watch(f"sqlite:///{tmp_path}/w.db", **limits), shelf)


@pytest.fixture
def collector(shelf: Shelf, tmp_path: Path) -> Collector:
    return _collector(shelf, tmp_path)


class Hanging(Asked):
    """A client that sends its headers, and nothing of its body."""

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError


def _packed(body: bytes, encoding: str) -> Asked:
    return Asked([body], headers={"content-encoding": encoding})


def _browser(*types: str) -> bytes:
    """What a browser posts, with a user agent and the page that was looked at."""
    entries = [
        {
            "age": 10,
            "type": "network-error",
            "url": "https://alice:secret@api.bank.example/accounts/4711?token=secret",
            "user_agent": "Mozilla/5.0 (of Alice)",
            "body": {"type": each, "phase": "connection", "referrer": "https://alice.example/"},
        }
        for each in types
    ]
    return json.dumps(entries).encode()


@pytest.mark.parametrize("path", ["plain", "gzip", "br"])
def test_a_report_is_taken_in_and_answered_without_a_body(
    collector: Collector, shelf: Shelf, path: str
) -> None:
    packed = {"plain": REPORT, "gzip": gzip.compress(REPORT), "br": brotli.compress(REPORT)}[path]
    answer = post(collector, packed, content_encoding="" if path == "plain" else path)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    [received] = shelf.taken
    assert received.source == "192.0.2.0/24"
    [failure] = received.records
    assert failure.pin_set == "bank-app"


def test_the_answer_waits_until_the_report_is_durable(tmp_path: Path) -> None:
    durable = asyncio.Event()

    class Slow:
        async def accept(self, received: object) -> None:
            del received
            await durable.wait()

        def is_ready(self) -> bool:
            return True

    async def asks() -> None:
        collector = Collector(make_watch(f"sqlite:///{tmp_path}/w.db"), Slow())
        answer = asyncio.create_task(ask(collector, Asked([REPORT])))
        await asyncio.sleep(0.01)
        assert not answer.done()
        durable.set()
        assert (await answer).status == 204

    asyncio.run(asks())


def test_what_cannot_be_made_durable_is_refused_and_may_come_again(tmp_path: Path) -> None:
    refusing = Shelf(NotDurableError("the store is unavailable or full", 5))
    answer = post(_collector(refusing, tmp_path), REPORT)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.error == "the store is unavailable or full"


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        (Asked([REPORT], method="GET"), 405, "with POST"),
        (Asked([REPORT], method="DELETE"), 405, "with POST"),
        (Asked([REPORT], "text/html"), 415, "Content-Type"),
        (Asked([REPORT], ""), 415, "Content-Type"),
        (_packed(REPORT, "gzip, br"), 415, "Content-Encoding"),
        (_packed(REPORT, "zstd"), 415, "Content-Encoding"),
        (Asked([REPORT], headers={"content-length": "262145"}), 413, "262144"),
        (Asked([REPORT], headers={"content-length": "9" * 5000}), 413, "262144"),
        (Asked([REPORT], headers={"content-length": "-1"}), 400, "not a number"),
        (Asked([REPORT], headers={"host": "evil.example:8460"}), 400, "host"),
    ],
)
def test_what_the_headers_tell_is_refused_before_the_body_is_read(
    shelf: Shelf, tmp_path: Path, asked: Asked, status: int, says: str
) -> None:
    collector = _collector(shelf, tmp_path, hosts=("pins.bank.example",))
    answer = asyncio.run(ask(collector, asked))
    assert answer.status == status
    assert says in answer.error
    assert asked.reads == 0
    assert not shelf.taken


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        (Asked([b""]), 400, "not JSON"),
        (Asked([b"{"]), 400, "not JSON"),
        (Asked([b"\xff\xfe"]), 400, "not JSON"),
        (Asked([b"[" * 50_000]), 400, "deep"),
        (Asked([b'{"a":' * 17 + b"1" + b"}" * 17]), 400, "deep"),
        (Asked([b"{}"]), 422, "not a report"),
        (Asked([b"[]"]), 422, "not a report"),
        (Asked([b"{}"], NEL), 422, "not a report"),
        (_packed(REPORT, "gzip"), 400, "gzip"),
        (_packed(REPORT, "br"), 400, "br"),
        (_packed(gzip.compress(REPORT)[:-9], "gzip"), 400, "gzip"),
        (_packed(brotli.compress(REPORT)[:-9], "br"), 400, "br"),
    ],
)
def test_what_is_no_report_is_told_what_is_wrong_with_it(
    collector: Collector, shelf: Shelf, asked: Asked, status: int, says: str
) -> None:
    answer = asyncio.run(ask(collector, asked))
    assert answer.status == status
    assert says in answer.error
    assert not shelf.taken


def test_nothing_that_was_sent_is_sent_back(collector: Collector) -> None:
    body = json.dumps({"schema": "certpin-report/1", "<script>": "<script>"}).encode()
    for sent, kind in ((body, "application/json"), (b"<script>", "application/json")):
        assert b"script" not in post(collector, sent, kind, content_encoding="").body


@pytest.mark.parametrize("length", ["", "10"])
def test_a_body_that_goes_on_beyond_its_length_is_cut(collector: Collector, length: str) -> None:
    asked = Asked([b" " * 200_000] * 5, headers={"content-length": length})
    answer = asyncio.run(ask(collector, asked))
    assert answer.status == 413
    assert asked.reads == 2


def test_a_body_that_comes_too_slowly_is_given_up(shelf: Shelf, tmp_path: Path) -> None:
    collector = _collector(shelf, tmp_path, body_seconds=0.02)

    class Slow(Asked):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b" ", "more_body": True}

    async def one_after_the_other() -> None:
        for _ in range(2):
            answer = await ask(collector, Slow([REPORT]))
            assert (answer.status, "was not complete" in answer.error) == (400, True)
            assert (await ask(collector, Asked([REPORT]))).status == 204

    for _ in range(2):  # in another loop, too
        asyncio.run(one_after_the_other())


def test_slow_bodies_are_given_up_one_by_one_and_no_other(shelf: Shelf, tmp_path: Path) -> None:
    collector = _collector(shelf, tmp_path, body_seconds=0.02)

    async def statuses() -> list[int]:
        tasks = []
        for asked in (Hanging([REPORT]), Asked([REPORT]), Hanging([REPORT])):
            tasks.append(asyncio.create_task(ask(collector, asked)))
            await asyncio.sleep(0.005)
        return [answer.status for answer in await asyncio.gather(*tasks)]

    assert asyncio.run(statuses()) == [400, 204, 400]


def test_a_request_that_is_cancelled_is_not_taken_for_a_slow_one(
    shelf: Shelf, tmp_path: Path
) -> None:
    collector = _collector(shelf, tmp_path)

    async def cancel() -> None:
        task = asyncio.create_task(ask(collector, Hanging([REPORT])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_whoever_hangs_up_is_not_answered(collector: Collector, shelf: Shelf) -> None:
    answer = asyncio.run(ask(collector, Asked([REPORT[:10], None])))
    assert (answer.status, shelf.taken) == (0, [])


def test_a_source_that_sends_too_much_is_told_when_to_come_again(
    shelf: Shelf, tmp_path: Path
) -> None:
    collector = _collector(shelf, tmp_path, rate=1, burst=2)
    assert [post(collector, b"junk").status for _ in range(2)] == [400, 400]
    refused = post(collector, REPORT)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    neighbour = asyncio.run(ask(collector, Asked([REPORT], client="192.0.3.77")))
    assert neighbour.status == 204


def test_one_network_is_worked_on_so_many_times_at_once(shelf: Shelf, tmp_path: Path) -> None:
    collector = _collector(shelf, tmp_path, at_once=2)

    async def statuses() -> list[int]:
        slow = [asyncio.create_task(ask(collector, Hanging([REPORT]))) for _ in range(2)]
        await asyncio.sleep(0)  # they wait for their bodies by now
        others = [Asked([REPORT]), Asked([REPORT], client="192.0.3.77")]
        found = [(await ask(collector, each)).status for each in others]
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return [*found, (await ask(collector, Asked([REPORT]))).status]

    assert asyncio.run(statuses()) == [429, 204, 204]


def test_a_list_of_reports_costs_as_much_as_they_are(shelf: Shelf, tmp_path: Path) -> None:
    collector = _collector(shelf, tmp_path, rate=1, burst=5)
    body = _browser(*["tls.cert.date_invalid"] * 5)
    assert [post(collector, body, NEL).status for _ in range(2)] == [204, 429]


def test_a_browser_that_tells_of_nothing_here_is_thanked_and_nothing_is_kept(
    collector: Collector, shelf: Shelf
) -> None:
    assert post(collector, _browser("dns.name_not_resolved"), NEL).status == 204
    assert not shelf.taken


def test_a_browser_may_ask_whether_it_may(collector: Collector, shelf: Shelf) -> None:
    answer = asyncio.run(ask(collector, Asked([b""], method="OPTIONS")))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "access-control-allow-credentials" not in answer.headers
    assert not shelf.taken


def test_the_sample_of_a_phone_does_not_name_the_phone(collector: Collector, shelf: Shelf) -> None:
    phone = {
        "app-bundle-id": "example.bank.app",
        "app-vendor-id": "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
        "trustkit-version": "3.0",
        "date-time": "2027-01-01T12:00:00Z",
        "hostname": bodies.HOST,
        "port": 443,
        "validation-result": 1,
        "device": {"name": "Alice's phone"},
        "validated-certificate-chain": list(bodies.chain()),
        "known-pins": [],
    }
    assert post(collector, json.dumps(phone).encode()).status == 204
    sample = json.loads(shelf.taken[0].sample)
    assert sample == {k: v for k, v in phone.items() if k not in {"app-vendor-id", "device"}}


def test_the_sample_of_a_browser_does_not_say_what_was_looked_at(
    collector: Collector, shelf: Shelf
) -> None:
    assert post(collector, _browser("tls.cert.date_invalid"), NEL).status == 204
    sample = shelf.taken[0].sample
    assert json.loads(sample)[0]["url"] == "https://api.bank.example/"
    for secret in (b"alice", b"Alice", b"secret", b"accounts", b"Mozilla"):
        assert secret not in sample


def test_only_the_first_few_of_those_that_look_alike_are_offered_as_samples(
    collector: Collector, shelf: Shelf
) -> None:
    for number in range(5):
        post(collector, bodies.body(number))
    post(collector, bodies.body(9, app="example.other.app"))
    assert [bool(each.sample) for each in shelf.taken] == [True] * 3 + [False] * 2 + [True]
