"""Check the collector's endpoint: requests, samples, networks of senders, and rate limits."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
from typing import TYPE_CHECKING, Any

import brotli
import pytest

from certpin.reports.reporter.request import PostResult, outcome
from certpin_watch.collector.app import Collector, RateLimit, SourcePrefixes
from certpin_watch.collector.intake import NotDurableError
from certpin_watch.collector.samples import sample_of
from certpin_watch.settings import CollectorSettings
from tests.reports.codecs._documents import WHOLE
from tests.watch.collector import bodies
from tests.watch.collector.asgi_client import RecordingIntake, Request, post, send_request
from tests.watch.collector.server import make_watch

if TYPE_CHECKING:
    from pathlib import Path


REPORT = bodies.body(1)
NEL = "application/reports+json"


@pytest.fixture
def recorder() -> RecordingIntake:
    return RecordingIntake()


def _collector(recorder: RecordingIntake, tmp_path: Path, **limits: Any) -> Collector:
    return Collector(make_watch(f"sqlite:///{tmp_path}/w.db", **limits), recorder)


@pytest.fixture
def collector(recorder: RecordingIntake, tmp_path: Path) -> Collector:
    return _collector(recorder, tmp_path)


def test_a_defect_is_logged_and_answered_as_json(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = _collector(RecordingIntake(ValueError("hunter2")), tmp_path)
    answer = post(collector, REPORT)
    assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
    assert "failed unexpectedly" in answer.error
    assert b"hunter2" not in answer.body
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info


class Hanging(Request):
    """A client that sends its headers, but no body."""

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError


def _packed(body: bytes, encoding: str) -> Request:
    return Request([body], headers={"content-encoding": encoding})


def _browser(*types: str) -> bytes:
    """Return the body of a browser's network error reports, one for each error type.

    The reports contain private data, such as the user agent and the visited page.
    """
    entries = [
        {
            "age": 10,
            "type": "network-error",
            "url": "https://alice:secret@api.bank.example/accounts/4711?token=secret",
            "user_agent": "Mozilla/5.0 (of Alice)",
            "body": {"type": kind, "phase": "connection", "referrer": "https://alice.example/"},
        }
        for kind in types
    ]
    return json.dumps(entries).encode()


@pytest.mark.parametrize("path", ["plain", "gzip", "br"])
def test_report_is_accepted_with_an_empty_204(
    collector: Collector, recorder: RecordingIntake, path: str
) -> None:
    packed = {"plain": REPORT, "gzip": gzip.compress(REPORT), "br": brotli.compress(REPORT)}[path]
    answer = post(collector, packed, content_encoding="" if path == "plain" else path)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    [received] = recorder.accepted
    assert received.source == "192.0.2.0/24"
    [failure] = received.records
    assert failure.pin_set == "bank-app"


def test_answer_waits_until_the_report_is_durable(tmp_path: Path) -> None:
    durable = asyncio.Event()

    class Slow:
        trouble = ""

        async def accept(self, received: object) -> None:
            del received
            await durable.wait()

        def is_ready(self) -> bool:
            return True

    async def main() -> None:
        collector = Collector(make_watch(f"sqlite:///{tmp_path}/w.db"), Slow())
        answer = asyncio.create_task(send_request(collector, Request([REPORT])))
        await asyncio.sleep(0.01)
        assert not answer.done()
        durable.set()
        assert (await answer).status == 204

    asyncio.run(main())


def test_report_that_is_not_durable_gets_503_with_retry_after(tmp_path: Path) -> None:
    refusing = RecordingIntake(NotDurableError("the store is unavailable or full", 5))
    answer = post(_collector(refusing, tmp_path), REPORT)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.error == "the store is unavailable or full"


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (Request([REPORT], method="GET"), 405, "with POST"),
        (Request([REPORT], method="DELETE"), 405, "with POST"),
        (Request([REPORT], "text/html"), 415, "Content-Type"),
        (Request([REPORT], ""), 415, "Content-Type"),
        (_packed(REPORT, "gzip, br"), 415, "Content-Encoding"),
        (_packed(REPORT, "zstd"), 415, "Content-Encoding"),
        (Request([REPORT], headers={"content-length": "262145"}), 413, "262144"),
        (Request([REPORT], headers={"content-length": "9" * 5000}), 413, "262144"),
        (Request([REPORT], headers={"content-length": "-1"}), 400, "not a number"),
        (Request([REPORT], headers={"host": "evil.example:8460"}), 400, "host"),
    ],
)
def test_bad_headers_are_refused_before_the_body_is_read(
    recorder: RecordingIntake, tmp_path: Path, sent: Request, status: int, says: str
) -> None:
    collector = _collector(recorder, tmp_path, hosts=("pins.bank.example",))
    answer = asyncio.run(send_request(collector, sent))
    assert answer.status == status
    assert says in answer.error
    assert sent.reads == 0
    assert not recorder.accepted


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (Request([b""]), 400, "not JSON"),
        (Request([b"{"]), 400, "not JSON"),
        (Request([b"\xff\xfe"]), 400, "not JSON"),
        (Request([rb'{"a": "\ud800"}']), 400, "half of a surrogate pair"),
        (Request([rb'{"a": "\ud83d\ude00"']), 400, "truncated"),
        (Request([b"[" * 50_000]), 400, "deep"),
        (Request([b'{"a":' * 17 + b"1" + b"}" * 17]), 400, "deep"),
        (Request([b"{}"]), 422, "not a report"),
        (Request([b"[]"]), 422, "not a report"),
        (Request([b"{}"], NEL), 422, "not a report"),
        (_packed(REPORT, "gzip"), 400, "gzip"),
        (_packed(REPORT, "br"), 400, "br"),
        (_packed(gzip.compress(REPORT)[:-9], "gzip"), 400, "gzip"),
        (_packed(brotli.compress(REPORT)[:-9], "br"), 400, "br"),
    ],
)
def test_body_that_is_not_a_report_gets_an_error_that_names_the_problem(
    collector: Collector, recorder: RecordingIntake, sent: Request, status: int, says: str
) -> None:
    answer = asyncio.run(send_request(collector, sent))
    assert answer.status == status
    assert says in answer.error
    assert not recorder.accepted


def test_error_contains_nothing_that_the_client_sent(collector: Collector) -> None:
    body = json.dumps({"schema": "certpin-report/1", "<script>": "<script>"}).encode()
    for sent, kind in ((body, "application/json"), (b"<script>", "application/json")):
        assert b"script" not in post(collector, sent, kind, content_encoding="").body


@pytest.mark.parametrize("length", ["", "10"])
def test_reading_stops_at_the_size_limit(collector: Collector, length: str) -> None:
    sent = Request([b" " * 200_000] * 5, headers={"content-length": length})
    answer = asyncio.run(send_request(collector, sent))
    assert answer.status == 413
    assert sent.reads == 2


def test_slow_body_is_refused(recorder: RecordingIntake, tmp_path: Path) -> None:
    collector = _collector(recorder, tmp_path, body_seconds=0.02)

    class Slow(Request):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b" ", "more_body": True}

    async def one_after_the_other() -> None:
        for _ in range(2):
            answer = await send_request(collector, Slow([REPORT]))
            assert (answer.status, "was not complete" in answer.error) == (408, True)
            # certpin's own reporter keeps the report, and sends it again.
            assert outcome(PostResult(answer.status), packed=True) == "later"
            assert outcome(PostResult(answer.status), packed=False) == "later"
            assert (await send_request(collector, Request([REPORT]))).status == 204

    for _ in range(2):  # also in another event loop
        asyncio.run(one_after_the_other())


def test_slow_bodies_are_refused_one_by_one_and_no_others(
    recorder: RecordingIntake, tmp_path: Path
) -> None:
    collector = _collector(recorder, tmp_path, body_seconds=0.02)

    async def statuses() -> list[int]:
        tasks = []
        for sent in (Hanging([REPORT]), Request([REPORT]), Hanging([REPORT])):
            tasks.append(asyncio.create_task(send_request(collector, sent)))
            await asyncio.sleep(0.005)
        return [answer.status for answer in await asyncio.gather(*tasks)]

    assert asyncio.run(statuses()) == [408, 204, 408]


def test_cancelled_request_is_not_treated_as_a_slow_one(
    recorder: RecordingIntake, tmp_path: Path
) -> None:
    collector = _collector(recorder, tmp_path)

    async def cancel() -> None:
        task = asyncio.create_task(send_request(collector, Hanging([REPORT])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_an_incomplete_body_gets_400(collector: Collector, recorder: RecordingIntake) -> None:
    """After an invalid chunk, the HTTP server reports a client that has disconnected.

    Without a response, the server would send 500, and clients would send the report again.
    """
    answer = asyncio.run(send_request(collector, Request([REPORT[:10], None])))
    assert (answer.status, answer.error) == (400, "the body is incomplete")
    assert recorder.accepted == []


def test_source_above_its_rate_gets_429_with_retry_after(
    recorder: RecordingIntake, tmp_path: Path
) -> None:
    collector = _collector(recorder, tmp_path, rate=1, burst=2)
    assert [post(collector, b"junk").status for _ in range(2)] == [400, 400]
    refused = post(collector, REPORT)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    neighbour = asyncio.run(send_request(collector, Request([REPORT], client="192.0.3.77")))
    assert neighbour.status == 204


def test_concurrent_bodies_of_one_network_are_limited(
    recorder: RecordingIntake, tmp_path: Path
) -> None:
    collector = _collector(recorder, tmp_path, at_once=2)

    async def statuses() -> list[int]:
        slow = [asyncio.create_task(send_request(collector, Hanging([REPORT]))) for _ in range(2)]
        await asyncio.sleep(0)  # both are waiting for their bodies
        others = [Request([REPORT]), Request([REPORT], client="192.0.3.77")]
        found = [(await send_request(collector, other)).status for other in others]
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return [*found, (await send_request(collector, Request([REPORT]))).status]

    assert asyncio.run(statuses()) == [429, 204, 204]


def test_list_of_reports_is_charged_for_each_report(
    recorder: RecordingIntake, tmp_path: Path
) -> None:
    collector = _collector(recorder, tmp_path, rate=1, burst=5)
    body = _browser(*["tls.cert.date_invalid"] * 5)
    assert [post(collector, body, NEL).status for _ in range(2)] == [204, 429]


def test_browser_report_of_another_type_gets_204_and_is_not_counted(
    collector: Collector, recorder: RecordingIntake
) -> None:
    assert post(collector, _browser("dns.name_not_resolved"), NEL).status == 204
    assert not recorder.accepted


def test_preflight_of_a_browser_is_answered(
    collector: Collector, recorder: RecordingIntake
) -> None:
    answer = asyncio.run(send_request(collector, Request([b""], method="OPTIONS")))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "access-control-allow-credentials" not in answer.headers
    assert not recorder.accepted


def test_sample_of_a_phone_does_not_identify_the_phone(
    collector: Collector, recorder: RecordingIntake
) -> None:
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
    sample = json.loads(recorder.accepted[0].sample)
    assert sample == {k: v for k, v in phone.items() if k not in {"app-vendor-id", "device"}}


def test_sample_of_a_browser_does_not_contain_the_visited_page(
    collector: Collector, recorder: RecordingIntake
) -> None:
    assert post(collector, _browser("tls.cert.date_invalid"), NEL).status == 204
    sample = recorder.accepted[0].sample
    assert json.loads(sample)[0]["url"] == "https://api.bank.example/"
    for secret in (b"alice", b"Alice", b"secret", b"accounts", b"Mozilla"):
        assert secret not in sample


# The fields of the formats that identify a person, a device or a single report.
PERSONAL = {"app-vendor-id", "id", "referrer", "user_agent"}


def _names(entries: Any) -> set[str]:
    entry = entries[0] if isinstance(entries, list) else entries
    return {*entry, *entry.get("body", ())}


@pytest.mark.parametrize("name", WHOLE)
def test_sample_has_all_fields_of_its_format_that_are_not_personal(name: str) -> None:
    document, _ = WHOLE[name]
    kept = _names(json.loads(sample_of(document, 10**6)))
    assert kept == _names(document) - PERSONAL, "fix: list it in collector/samples.py or PERSONAL"


def test_only_the_first_few_similar_reports_are_offered_as_samples(
    collector: Collector, recorder: RecordingIntake
) -> None:
    for number in range(5):
        post(collector, bodies.body(number))
    post(collector, bodies.body(9, app="example.other.app"))
    assert [bool(body.sample) for body in recorder.accepted] == [True] * 3 + [False] * 2 + [True]


PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8")))
BEHIND_PROXY = SourcePrefixes(CollectorSettings(), PROXIES)


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("nobody", ""),
    ],
)
def test_address_is_cut_to_its_network(address: str, prefix: str) -> None:
    assert SourcePrefixes(CollectorSettings()).prefix(address, "") == prefix


def test_prefix_length_is_a_setting() -> None:
    assert (
        SourcePrefixes(CollectorSettings(ipv4_prefix=16)).prefix("192.0.2.77", "") == "192.0.0.0/16"
    )
    assert SourcePrefixes(CollectorSettings(ipv4_prefix=0)).prefix("192.0.2.77", "") == "0.0.0.0/0"


@pytest.mark.parametrize(
    ("peer", "forwarded", "prefix"),
    [
        ("192.0.2.77", "198.51.100.1", "192.0.2.0/24"),  # a client that poses as a proxy
        ("10.1.1.1", "198.51.100.1", "198.51.100.0/24"),
        ("10.1.1.1", "203.0.113.9, 198.51.100.1, 10.2.2.2", "198.51.100.0/24"),
        ("10.1.1.1", "198.51.100.1:4711", "198.51.100.0/24"),
        ("10.1.1.1", "[2001:db8:1::7]:4711", "2001:db8:1::/48"),
        ("10.1.1.1", "junk", ""),
        ("10.1.1.1", "10.2.2.2", "10.2.2.0/24"),
        ("10.1.1.1", "1," * 5000 + "198.51.100.1", "198.51.100.0/24"),
    ],
)
def test_forwarded_address_is_used_only_from_trusted_proxies(
    peer: str, forwarded: str, prefix: str
) -> None:
    assert BEHIND_PROXY.prefix(peer, forwarded) == prefix


def test_bucket_refills_with_time_up_to_its_size() -> None:
    now = [100.0]
    rates = RateLimit(2, 3, 10, lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]
    now[0] += 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 1]
    now[0] += 1000
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]


def test_number_of_buckets_is_bounded_and_busy_ones_stay() -> None:
    rates = RateLimit(1, 1, 3, lambda: 0.0)
    for number in range(1000):
        assert bool(rates.take("busy")) == (number > 0)
        rates.take(f"once {number}")
    assert len(rates._buckets) == 3
