"""Bytes to documents: whatever is sent, it is refused in words or read within bounds."""

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
from tests.watch.collector.asking import Asked, Shelf, ask
from tests.watch.collector.serving import make_watch

MOST = 100_000
ZEROS = bytes(50_000_000)
BOMBS = {"gzip": gzip.compress(ZEROS), "br": brotli.compress(ZEROS)}


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_bomb_is_refused_before_it_is_large(encoding: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefusedError) as refused:
            unpack(BOMBS[encoding], encoding, MOST)
        assert refused.value.status == 413
        assert tracemalloc.get_traced_memory()[1] < 10 * MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "br"])
@pytest.mark.parametrize("size", [0, 1, MOST - 1, MOST])
def test_a_body_may_be_as_long_as_the_limit_and_no_longer(encoding: str, size: int) -> None:
    pack = {"gzip": gzip.compress, "br": brotli.compress}[encoding]
    data = zlib.compress(bytes(range(256)) * 400, 0)[:size].ljust(size, b"x")
    assert unpack(pack(data), encoding, MOST) == data
    with pytest.raises(RequestRefusedError):
        unpack(pack(data + bytes(MOST + 1 - size)), encoding, MOST)


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"{}", mtime=0)])
def test_nothing_stands_behind_the_end_of_what_is_packed(more: bytes) -> None:
    with pytest.raises(RequestRefusedError, match="not complete gzip"):
        unpack(gzip.compress(b"{}") + more, "gzip", MOST)
    with pytest.raises(RequestRefusedError, match="not complete br"):
        unpack(brotli.compress(b"{}") + more, "br", MOST)


def test_a_long_list_is_not_taken_for_a_deep_one() -> None:
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
def test_whatever_is_sent_is_answered_with_a_status_that_says_what_it_was(
    data: bytes, encoding: str, kind: str
) -> None:
    shelf = Shelf()
    collector = Collector(make_watch("sqlite:///never-opened.db"), shelf)
    answer = asyncio.run(
        ask(collector, Asked([data], kind, headers={"content-encoding": encoding}))
    )
    assert answer.status in {204, 400, 413, 415, 422}
    assert answer.status == 204 or (answer.error and not shelf.taken)
