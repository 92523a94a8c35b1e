"""The list of an app in the challenge mode: swapped, damaged, lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.errors import CertpinError, ConfigError, FormatError, KeyParseError
from certpin.updates.wultra import ServedList
from tests.updates.wultra._bank import NOW, SECONDS, Bank, entry, listing, signer_of

if TYPE_CHECKING:
    from pathlib import Path

GOOD = listing(entry())
BAD: dict[str, tuple[bytes, str]] = {
    "no list": (b"{}", "fingerprints is missing"),
    "empty": (listing(), "no entry"),
    "a name": (listing(entry(name="a b")), "not the name of a host"),
    "a fingerprint": (listing(entry(fingerprint="AAAA")), "not the base64 of a SHA-256"),
    "milliseconds": (listing(entry(expires=SECONDS * 1000)), "milliseconds"),
    "switches": (listing(entry(), domainsConfig={"domains": []}), "turns pinning off"),
    "depth": (listing(entry(depth=1)), "depth 1"),
    "an old one": (listing(entry(expires=1)), "every entry has ended"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fingerprints.json"
    path.write_bytes(GOOD)
    return path


def served(bank: Bank, file: Path, **fields: Any) -> ServedList:
    return ServedList(file, bank.signer, **{"clock": lambda: NOW, **fields})


def swap(file: Path, data: bytes) -> None:
    """As ``certpin publish wultra`` does: by renaming."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.replace(file)


def test_a_list_that_is_swapped_is_read_anew(bank: Bank, file: Path) -> None:
    it = served(bank, file)
    assert [each.name for each in it.entries()] == ["api.bank.example"]
    swap(file, listing(entry(name="pay.bank.example")))
    assert [each.name for each in it.entries()] == ["pay.bank.example"]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_list_is_not_begun_with(bank: Bank, file: Path, kind: str) -> None:
    data, words = BAD[kind]
    file.write_bytes(data)
    with pytest.raises((ConfigError, FormatError), match=words):
        served(bank, file)


@pytest.mark.parametrize("kind", BAD)
def test_the_last_good_list_is_kept(
    bank: Bank, file: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    it = served(bank, file)
    data, words = BAD[kind]
    swap(file, data)
    assert [each.name for each in it.entries()] == ["api.bank.example"]
    assert words in caplog.text
    caplog.clear()
    it.entries()
    assert caplog.text == ""  # a bad file is read once, whoever asks how often
    swap(file, listing(entry(name="pay.bank.example")))
    assert [each.name for each in it.entries()] == ["pay.bank.example"]


def test_a_file_that_is_gone_takes_nothing_away(bank: Bank, file: Path) -> None:
    it = served(bank, file)
    file.unlink()
    assert len(it.entries()) == 1
    swap(file, listing(entry(name="pay.bank.example")))
    assert [each.name for each in it.entries()] == ["pay.bank.example"]


def test_without_a_file_it_does_not_begin(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        served(bank, tmp_path / "none.json")
    with pytest.raises(FormatError, match="cannot be read"):
        served(bank, tmp_path)


def test_an_entry_that_has_ended_stops_nothing(bank: Bank, file: Path) -> None:
    swap(file, listing(entry(), entry(name="old.bank.example", expires=1)))
    assert len(served(bank, file).entries()) == 2


def test_a_list_that_another_key_signed_is_not_served(bank: Bank, file: Path) -> None:
    author = Bank()
    swap(file, listing(author.signed()))
    it = served(bank, file, signed_by=author.key)
    for data in (GOOD, listing(bank.signed()), listing(author.signed() | {"name": "a.example"})):
        swap(file, data)
        assert [each.name for each in it.entries()] == ["api.bank.example"]
    with pytest.raises(CertpinError):
        served(bank, file, signed_by=author.key)


def test_a_key_that_no_sdk_verifies_with_is_refused(file: Path) -> None:
    with pytest.raises(KeyParseError, match="P-256 alone"):
        ServedList(file, signer_of(ec.generate_private_key(ec.SECP384R1())))


def test_a_swap_in_the_same_moment_is_seen(bank: Bank, file: Path) -> None:
    it = served(bank, file)
    before = file.stat()
    swap(file, listing(entry(name="abc.bank.example")))  # as long as the one before
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [each.name for each in it.entries()] == ["abc.bank.example"]
