"""Check how the collector reads bodies: compression, size limits, and reasons of refusals."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin_watch.collector.app import Collector
from certpin_watch.collector.body import RequestRefusedError, parse, unpack
from tests.watch.collector import bodies
from tests.watch.collector.asgi_client import RecordingIntake, Request, send_request
from tests.watch.collector.server import make_watch

MAX_BYTES = 100_000


@pytest.mark.medium
@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_compression_bomb_is_refused_before_it_is_large(encoding: str) -> None:
    pack = {"gzip": gzip.compress, "br": brotli.compress}[encoding]
    bomb = pack(bytes(100 * MAX_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefusedError) as refused:
            unpack(bomb, encoding, MAX_BYTES)
        assert refused.value.status == 413
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "br"])
@pytest.mark.parametrize("size", [0, 1, MAX_BYTES - 1, MAX_BYTES])
def test_body_may_be_as_long_as_the_limit_and_no_longer(encoding: str, size: int) -> None:
    pack = {"gzip": gzip.compress, "br": brotli.compress}[encoding]
    data = zlib.compress(bytes(range(256)) * 400, 0)[:size].ljust(size, b"x")
    assert unpack(pack(data), encoding, MAX_BYTES) == data
    with pytest.raises(RequestRefusedError):
        unpack(pack(data + bytes(MAX_BYTES + 1 - size)), encoding, MAX_BYTES)


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"{}", mtime=0)])
def test_data_after_the_end_of_the_compressed_body_is_refused(more: bytes) -> None:
    with pytest.raises(RequestRefusedError, match="not complete gzip"):
        unpack(gzip.compress(b"{}") + more, "gzip", MAX_BYTES)
    with pytest.raises(RequestRefusedError, match="not complete br"):
        unpack(brotli.compress(b"{}") + more, "br", MAX_BYTES)


def test_long_list_is_not_treated_as_a_deep_one() -> None:
    assert parse(b"[" + b",".join([b'{"a":[{}]}'] * 50) + b"]", 4)
    with pytest.raises(RequestRefusedError, match="deep"):
        parse(b"[" + b",".join([b'{"a":[[{}]]}'] * 50) + b"]", 4)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*bodies.report()]), inner),
)


@given(
    data=st.binary(max_size=300)
    | st.tuples(st.integers(0, 1000), st.binary(max_size=4)).map(
        lambda at: bodies.body(1)[: at[0]] + at[1] + bodies.body(1)[at[0] :]
    )
    | _JSON.map(lambda value: repr(value).replace("'", '"').encode()),
    encoding=st.sampled_from(["", "gzip", "br", "identity", "x\xff"]),
    kind=st.sampled_from(["application/json", "application/reports+json"]),
)
def test_any_body_gets_a_status_that_describes_it(data: bytes, encoding: str, kind: str) -> None:
    recorder = RecordingIntake()
    collector = Collector(make_watch("sqlite:///never-opened.db"), recorder)
    answer = asyncio.run(
        send_request(collector, Request([data], kind, headers={"content-encoding": encoding}))
    )
    assert answer.status in {204, 400, 413, 415, 422}
    assert answer.status == 204 or (answer.error and not recorder.accepted)
