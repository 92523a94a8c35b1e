"""x509-limbo files: which of their test cases become lab cases, and why the others do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import CaseFileError
from certpin.lab import load_cases
from certpin.lab.case import Expect
from certpin.lab.own.chain import LeftOut
from certpin.lab.own.limbo import read_limbo
from certpin.lab.own.writer import new_folder, write_cases
from tests.lab.own._own import HOST, OTHER_ROOT, REFUSE, case, limbo, own

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.case import Case


def test_a_case_has_chain_key_anchors_host_and_verdict(tmp_path: Path) -> None:
    path = limbo(tmp_path / "limbo.json", {}, {"id": "own::bad", "expected_result": "FAILURE"})
    suite = read_limbo(path)
    assert suite.left_out == ()
    assert [each.name for each in suite.cases] == ["own.good", "own.bad"]
    assert [each.expected.none for each in suite.cases] == [Expect.ACCEPT, Expect.REJECT]
    assert {each.own for each in suite.cases} == {own()}
    assert suite.cases[1].presents == "A good chain. (x509-limbo: refuse)"


def test_the_validation_time_is_the_time_of_the_case(tmp_path: Path) -> None:
    path = limbo(tmp_path / "limbo.json", {"validation_time": "2024-03-01T00:00:00.999+00:00"})
    (read,) = read_limbo(path).cases
    assert read.own is not None
    assert read.own.time == datetime(2024, 3, 1, 0, 0, 0, 999_000, UTC)


def test_a_description_has_no_control_characters(tmp_path: Path) -> None:
    path = limbo(tmp_path / "limbo.json", {"description": "a\x1b[2Jb\u202ec"})
    assert read_limbo(path).cases[0].presents.startswith(r"a\x1b[2Jb\u202ec (x509-limbo: ")


@pytest.mark.parametrize(
    "fields",
    [{"features": ["pedantic-rfc5280"]}, {"crls": ["-----BEGIN"]}, {"max_chain_depth": 0}],
)
def test_a_verdict_that_depends_on_more_than_the_chain_is_reported_only(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    (read,) = read_limbo(limbo(tmp_path / "limbo.json", fields)).cases
    assert read.expected.none is Expect.POLICY
    assert read.presents.endswith("(x509-limbo: accept)")


_LEFT_OUT = {
    "it is for the certificate of a client": {"validation_kind": "CLIENT"},
    "it has no key for its leaf": {"peer_certificate_key": None},
    "it has no host name or address": {"expected_peer_name": None},
    "it has no host name or address ": {
        "expected_peer_name": {"kind": "RFC822", "value": "a@bank.example"}
    },
    "it has no expected result": {"expected_result": "MAYBE"},
    "its validation time is not a time of ISO 8601": {"validation_time": "soon"},
    "host: ": {"expected_peer_name": {"kind": "DNS", "value": "a..b"}},
    "host: a number is": {"expected_peer_name": {"kind": "DNS", "value": 3}},
    "chain: ": {"peer_certificate": "not PEM"},
    "chain: a list": {"peer_certificate": None},
    "anchors: a table": {"trusted_certs": {}},
    "key: the PEM text is not": {"peer_certificate_key": "-----BEGIN PRIVATE KEY-----"},
    "name: ": {"id": "a/b"},
}


@pytest.mark.parametrize(("reason", "fields"), _LEFT_OUT.items(), ids=_LEFT_OUT)
def test_a_case_that_cannot_be_served_is_left_out(
    tmp_path: Path, reason: str, fields: dict[str, Any]
) -> None:
    suite = read_limbo(limbo(tmp_path / "limbo.json", fields, {"id": "other"}))
    assert [each.name for each in suite.cases] == ["other"]
    (left,) = suite.left_out
    assert left.name == fields.get("id", "own::good")
    assert left.reason.startswith(reason.strip())


def test_the_second_case_of_a_name_is_left_out(tmp_path: Path) -> None:
    suite = read_limbo(limbo(tmp_path / "limbo.json", {}, {"id": "own.good"}))
    assert len(suite.cases) == 1
    assert suite.left_out == (LeftOut("own.good", "another case has this name"),)


def test_a_file_outside_the_text_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_bytes(b"secret")
    suite = read_limbo(
        limbo(tmp_path / "limbo.json", {"peer_certificate": str(tmp_path / "server.pem")})
    )
    assert "it is not PEM text" in suite.left_out[0].reason


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('{"version": 1,\n nothing', "", 2),
        ("[]", "version", None),
        ('{"version": 2, "testcases": []}', "version", None),
        ('{"version": 1}', "testcases", None),
        ('{"version": 1, "testcases": [{}]}', "testcases[0].id", None),
        ('{"version": 1, "testcases": [3]}', "testcases[0].id", None),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, key: str, line: int | None) -> None:
    path = tmp_path / "limbo.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaseFileError) as caught:
        read_limbo(path)
    assert (caught.value.key, caught.value.line, caught.value.path) == (key, line, str(path))


def test_a_file_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limbo.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(CaseFileError, match="it is not JSON"):
        read_limbo(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="cannot be read"):
        read_limbo(tmp_path / "limbo.json")


def _facts(read: Case) -> tuple[object, ...]:
    return read.name, read.own, read.expected, read.presents


def test_the_written_case_file_has_the_same_cases(tmp_path: Path) -> None:
    times = {"id": "own::old", "validation_time": "2024-03-01T00:00:00+00:00"}
    marked = {"id": "own::marked", "features": ["has-crl"]}
    suite = read_limbo(limbo(tmp_path / "limbo.json", {}, times, marked))
    folder = tmp_path / "chains"
    with new_folder(folder):
        write_cases(folder, suite.cases)
    read = load_cases(folder / "cases.toml")
    assert list(map(_facts, read)) == list(map(_facts, suite.cases))
    assert (folder / "own.old" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert {each.host("other") for each in read} == {HOST}


def test_pins_are_written_too(tmp_path: Path) -> None:
    pinned = own(pins=(OTHER_ROOT.pin,))
    with new_folder(tmp_path / "chains"):
        write_cases(tmp_path / "chains", [case(REFUSE, pinned)])
    (read,) = load_cases(tmp_path / "chains/cases.toml")
    assert read.own == pinned
