"""The test PKI: each of its keys is made once, although cases run at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import pytest

from certpin.lab.device.schedule import DevicePKI
from certpin.lab.own.chain import OwnPKI
from certpin.lab.pki import Authorities, TestPKI, made_once
from certpin.lab.upstream import UpstreamAuthorities, UpstreamPKI


@pytest.mark.medium
def test_two_threads_get_the_value_that_the_first_one_made() -> None:
    entered, second = threading.Event(), threading.Event()

    class Keys:
        @made_once
        def key(self) -> object:
            if entered.is_set():
                second.set()
            entered.set()
            second.wait(0.2)  # for another thread, which must not come
            return object()

    keys = Keys()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: keys.key)
        assert entered.wait(10)
        other = pool.submit(lambda: keys.key)
        assert first.result(10) is other.result(10)
    assert not second.is_set()


@pytest.mark.parametrize(
    "kind", [Authorities, DevicePKI, OwnPKI, TestPKI, UpstreamAuthorities, UpstreamPKI]
)
def test_no_value_of_a_pki_is_made_twice(kind: type) -> None:
    values = [value for value in vars(kind).values() if isinstance(value, cached_property)]
    assert all(isinstance(value, made_once) for value in values)
