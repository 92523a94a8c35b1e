"""Check the JSON of probe jobs and results: invalid messages are refused, others unchanged."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import InputError
from certpin_watch.monitor.results import (
    MAX_BYTES,
    MAX_REQUEST,
    AddressResult,
    JobBatch,
    ProbeJob,
    ProbeResult,
    ResultBatch,
    ResultBuilder,
    decode_jobs,
    decode_receipt,
    decode_request,
    decode_results,
    encode,
)
from certpin_watch.monitor.scheduler import DueProbe, make_job
from certpin_watch.monitor.targets import Target
from certpin_watch.settings import MonitorSettings
from tests import kit
from tests.watch.rules import _probes as scenes

JOB = ProbeJob("api.bank.test", 443, "", "fra1", 1_800_000_000)
CHAIN = tuple(certificate.der for certificate in scenes.path("leaf").certificates)
SEEN = AddressResult("192.0.2.7", "verified", served=(0, 1), verified=(0, 1, 2), tls="TLSv1.3")
RESULT = ProbeResult("api.bank.test", 443, "", "fra1", 1_800_000_000, 1_800_000_009, (SEEN,), CHAIN)


PROCESS = "0123456789abcdef"
BATCH = JobBatch("fra1", 60, 5)


def changed(message: ProbeJob | ProbeResult, **fields: object) -> bytes:
    """Return the JSON of a message with one job or one result, some fields of which have other
    values.
    """
    data = [msgspec.to_builtins(message) | fields]
    if isinstance(message, ProbeJob):
        return msgspec.json.encode(msgspec.to_builtins(BATCH) | {"jobs": data})
    return msgspec.json.encode({"process": PROCESS, "results": data})


def test_a_job_has_all_values_of_its_target() -> None:
    trust = kit.anchors(scenes.root())
    target = Target("mail.bank.test", 25, ("192.0.2.7", 2525), "smtp", trust, locations=("fra1",))
    batch = JobBatch("fra1", 60, 5, (make_job(DueProbe(target, "fra1", 7), MonitorSettings()),))
    (job,) = decode_jobs(encode(batch)).jobs
    assert (job.host, job.port, job.connect) == ("mail.bank.test", 25, ("192.0.2.7", 2525))
    assert (job.starttls, job.anchors, job.slot) == ("smtp", trust.der, 7)


def test_a_result_survives_encoding_and_decoding() -> None:
    assert decode_results(encode(ResultBatch(PROCESS, (RESULT,)))).results == (RESULT,)
    assert RESULT.identity == JOB.identity


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "API.bank.test"},
        {"host": "a..b"},
        {"port": 0},
        {"connect": ["-oops", 443]},
        {"starttls": "gopher"},
        {"vantage": "../fra1"},
        {"vantage": "ams1"},
        {"timeout": 1e9},
        {"slot": -1},
        {"command": "rm"},
    ],
)
def test_an_invalid_job_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        decode_jobs(changed(JOB, **fields))


@pytest.mark.parametrize("note", ["\x1b]0;owned\x07", "a\nb", "\u202e"])
def test_a_note_with_control_characters_is_refused(note: str) -> None:
    with pytest.raises(InputError):
        decode_jobs(encode(JobBatch("fra1", 60, 5, note=note)))


@pytest.mark.parametrize(
    "fields",
    [
        {"certificates": [b"junk"]},
        {"certificates": []},
        {"seen": []},
        {"seen": [msgspec.to_builtins(SEEN) | {"outcome": "fine"}]},
        {"seen": [msgspec.to_builtins(SEEN) | {"outcome": "unverified"}]},
        {"seen": [msgspec.to_builtins(SEEN) | {"verified": []}]},
        {"seen": [{"address": "", "outcome": "unreachable"}]},
        {"seen": [{"address": "", "outcome": "no-starttls"}]},
        {"seen": [msgspec.to_builtins(SEEN) | {"problem": "x" * 401}]},
        {"seen": [msgspec.to_builtins(SEEN) | {"tls": "a\0b"}]},
        {"seen": [msgspec.to_builtins(SEEN) | {"edge": "\u202e"}]},
        {"seen": [msgspec.to_builtins(SEEN)] * 2},
        {"at": "now"},
    ],
)
def test_an_invalid_result_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        decode_results(changed(RESULT, **fields))


@given(st.binary(max_size=300))
@example(b'{"\xff": 1}')  # a name that is not UTF-8: msgspec lets Python's own error through
@example(b"[" * 100_000)
def test_junk_raises_only_input_error(data: bytes) -> None:
    for decode in (decode_jobs, decode_results, decode_receipt, decode_request):
        with pytest.raises(InputError):
            decode(data)


def test_a_message_that_is_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="more than"):
        decode_results(bytes(MAX_REQUEST + 1))


def test_chains_that_are_too_large_are_replaced_by_a_problem() -> None:
    builder = ResultBuilder(JOB)
    builder.indexes(scenes.path("leaf"))
    builder._indexes[bytes(MAX_BYTES)] = 9
    builder.seen.append(SEEN)
    (seen,) = builder.build(9.0).seen
    assert (seen.outcome, seen.served) == ("unreachable", ())
    assert "more than a result can hold" in seen.problem
