"""The list of Certificate Transparency logs: its fields, and each mistake that is refused."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import LogListError
from certpin.lab.authority import new_rsa_key
from certpin.lab.ct_log import LabLog, log_list
from certpin.x509.log_list import MAX_LOG_LIST_BYTES, MAX_LOGS, CTLog, LogList

if TYPE_CHECKING:
    from collections.abc import Callable

MADE = datetime(2027, 5, 1, tzinfo=UTC)
RETIRED = datetime(2027, 2, 1, tzinfo=UTC)
A, B, C = (LabLog.make(name) for name in ("Log A", "Log B", "Log C"))
FORMER = (("Log Z", datetime(2026, 1, 1, tzinfo=UTC)), ("Log Y", datetime(2025, 1, 1, tzinfo=UTC)))
LOGS = (
    A.but(starts=datetime(2027, 1, 1, tzinfo=UTC), ends=datetime(2027, 7, 1, tzinfo=UTC)),
    B.but(state="retired", since=RETIRED, kind="prod"),
    C.but(former=FORMER, kind="test"),
)
LIST = log_list(LOGS, MADE)


def text_of(change: Callable[[dict[str, Any]], object] = lambda _: None) -> bytes:
    """Return the log list as JSON, with ``change`` applied to its first log."""
    data = LIST.to_json()
    change(data["operators"][0]["logs"][0])
    return json.dumps(data).encode()


def test_a_list_is_read_with_all_fields_that_decide() -> None:
    read = LogList.parse(text_of(), "logs.json")
    assert (read, read.source, read.digest) == (LIST, "logs.json", LIST.digest)
    assert read.by_id[B.entry.log_id].since == RETIRED
    assert LogList((B.entry,), MADE).digest != LogList((A.entry,), MADE).digest


def test_a_real_entry_is_read() -> None:
    """The parser ignores unknown fields, and those of Google's list that certpin doesn't need."""
    data = LIST.to_json()
    data |= {"version": "89.12", "is_all_logs": True, "future": [1]}
    log = data["operators"][0].pop("logs")[0]
    log |= {"url": "https://ct.example/", "mmd": 86400, "dns": "a.ct.example"}
    log["state"] = {"readonly": {"timestamp": "2027-01-01T00:00:00Z", "final_tree_head": {}}}
    data["operators"][0] |= {"email": ["ct@ct.example"], "tiled_logs": [log]}
    read = LogList.parse(json.dumps(data).encode())
    assert (len(read.logs), read.logs[0].state) == (3, "readonly")


def test_an_unknown_state_or_key_makes_a_log_that_never_counts() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    log = CTLog(spki, "future", "Log F", "usable", MADE)
    data = LogList((log, A.entry), MADE).to_json()
    data["operators"][1]["logs"][0]["state"] = {"frozen": {"timestamp": "2027-01-01T00:00:00Z"}}
    future, other = LogList.parse(json.dumps(data).encode()).logs
    assert future.public_key is None
    assert other.state is None


@pytest.mark.parametrize(
    ("key", "usable"),
    [
        (ec.generate_private_key(ec.SECP256R1()), True),
        (ec.generate_private_key(ec.SECP384R1()), False),
        (new_rsa_key(), True),
        (rsa.generate_private_key(65537, 1024), False),  # RFC 6962 requires 2048
    ],
    ids=["P-256", "P-384", "RSA 2048", "RSA 1024"],
)
def test_a_log_has_a_key_that_rfc_6962_allows(key: Any, usable: bool) -> None:
    assert (LabLog.make("Log", key).entry.public_key is not None) == usable


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda log: log.pop("key"), r"operators\[0\]\.logs\[0\]\.key is missing"),
        (lambda log: log.update(key=1), "key is not a string"),
        (lambda log: log.update(key="é"), "key is not base64"),
        (lambda log: log.update(log_id=base64.b64encode(bytes(32)).decode()), "log_id is not the"),
        (lambda log: log.update(state={}), "state is not an object with one state"),
        (lambda log: log["state"].update(retired={}), "state is not an object with one .*retired"),
        (lambda log: log.update(state={"usable": {}}), "state.usable.timestamp is missing"),
        (lambda log: log.update(log_type="future"), "log_type is not prod, test or private"),
        (
            lambda log: log["temporal_interval"].update(end_exclusive="2027-01-01T00:00:00"),
            "end_exclusive is not a time with its zone",
        ),
        (
            lambda log: log["temporal_interval"].update(start_inclusive="tomorrow"),
            "start_inclusive is not a time such as",
        ),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    with pytest.raises(LogListError, match=problem) as caught:
        LogList.parse(text_of(change))
    assert "log_list.json" in caught.value.fix


def test_a_key_that_is_none_is_refused() -> None:
    broken = CTLog(b"no key", "broken", "Log", "usable", MADE)
    with pytest.raises(LogListError, match="key is not a public key"):
        LogList.parse(json.dumps(LogList((broken,), MADE).to_json()).encode())


def test_a_log_that_is_listed_twice_is_refused() -> None:
    other = A.but(operator="Log B")
    with pytest.raises(LogListError, match="two logs have the key"):
        LogList.parse(json.dumps(log_list((A, other), MADE).to_json()).encode())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b"[]", "the file is not an object"),
        (b"{}", "operators is missing"),
        (b'{"operators": []}', "it has no log"),
        (b'{"operators": 1}', "operators is not a list"),
        (b" " * (MAX_LOG_LIST_BYTES + 1), "has more than 4194304 bytes"),
    ],
)
def test_anything_else_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(LogListError, match=problem):
        LogList.parse(data)


def test_a_list_without_its_time_is_refused() -> None:
    data = LIST.to_json()
    del data["log_list_timestamp"]
    with pytest.raises(LogListError, match="log_list_timestamp is missing"):
        LogList.parse(json.dumps(data).encode())


def test_the_number_of_logs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LOGS > 1000
    monkeypatch.setattr("certpin.x509.log_list.MAX_LOGS", 2)
    with pytest.raises(LogListError, match="more than 2 logs"):
        LogList.parse(text_of())


def test_the_operator_of_a_log_is_the_one_at_that_time() -> None:
    log = LOGS[2].entry
    changed = [end for _, end in FORMER]
    assert log.operator_at(changed[1] - timedelta(1)) == "Log Y"
    assert log.operator_at(changed[1]) == "Log Z"
    assert log.operator_at(changed[0]) == "Log C"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.medium
@given(st.binary(max_size=200) | _VALUES.map(lambda value: json.dumps(value).encode()))
def test_hostile_bytes_are_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(LogListError):
        LogList.parse(data)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path]
    for key, each in inside if isinstance(value, dict | list) else ():
        found += _places(each, (*path, key))
    return found


@pytest.mark.medium
@given(st.sampled_from(_places(LIST.to_json())[1:]), _VALUES)
def test_a_list_with_any_value_replaced_is_read_or_refused(path: tuple[Any, ...], new: Any) -> None:
    data = LIST.to_json()
    inside: Any = data
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    with suppress(LogListError):
        read = LogList.parse(json.dumps(data).encode())
        assert read == LogList.parse(json.dumps(read.to_json()).encode())


@given(st.permutations(LOGS), st.integers(1, 3))
def test_what_is_written_is_read_again(logs: list[LabLog], count: int) -> None:
    made = log_list(logs[:count], MADE)
    assert LogList.parse(json.dumps(made.to_json()).encode()) == made
