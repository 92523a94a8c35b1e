"""Rule 12: the error of a refusal names the served path, the expected pins and the fix.

It keeps its type when it is pickled, copied, or raised inside a library's error.
"""

from __future__ import annotations

import copy
import pickle
import ssl
from typing import TYPE_CHECKING

import pytest

from certpin import (
    HostPattern,
    HostPin,
    HostPolicy,
    Pin,
    PinError,
    PinMismatchError,
    PinnedSSLContext,
)
from certpin import pin_error as find_pin_error
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority

PINS = (
    HostPin(kit.NOBODY, "leaf", "active", "KMS key bank-2026-a"),
    HostPin(kit.NOBODY_ELSE, "backup", "adopted", "in the safe"),
)


@pytest.fixture
def error(trusted_root: Path, intermediate: Authority) -> PinMismatchError:
    """Return the error of a handshake with a server that has an unpinned key."""
    context = PinnedSSLContext(kit.pin_set(HostPolicy(HostPattern.parse("**.bank.example"), PINS)))
    with pytest.raises(PinMismatchError) as caught:
        connect(context, intermediate.issue(HOST))
    return caught.value


def test_it_names_host_and_policy(error: PinMismatchError) -> None:
    headline = str(error).splitlines()[0]
    assert headline.startswith(f"{HOST} refused: no certificate of its verified chain is pinned")
    assert "policy '**.bank.example' (mode enforce, match any)" in headline
    assert error.host == HOST


def test_it_names_every_certificate_of_the_path_with_its_pin(
    error: PinMismatchError, root: Authority, intermediate: Authority
) -> None:
    assert error.verdict.chain is not None
    lines = str(error).splitlines()
    path = lines[lines.index("  verified chain, leaf first:") + 1 : lines.index("  pinned:")]
    leaf = error.verdict.chain.certificates[0]
    assert [line.split() for line in path] == [
        [f"{Pin.of_key(leaf.spki_sha256)}", f"CN={HOST}"],
        [f"{intermediate.pin}", "CN=Test", "Intermediate"],
        [f"{root.pin}", "CN=Test", "Root"],
    ]


def test_it_names_every_pin_with_role_state_and_note(error: PinMismatchError) -> None:
    lines = str(error).splitlines()
    assert lines[lines.index("  pinned:") + 1 :][:2] == [
        f"    {kit.NOBODY}  leaf, active  (KMS key bank-2026-a)",
        f"    {kit.NOBODY_ELSE}  backup, adopted  (in the safe)",
    ]


def test_it_has_a_fix(error: PinMismatchError) -> None:
    assert f"  fix: {error.fix}" in str(error)
    assert "ship a pin set that holds the new one" in error.fix
    assert f"certpin pin {HOST}" in error.fix


def test_it_names_whole_certificates_if_they_are_pinned(
    trusted_root: Path, intermediate: Authority
) -> None:
    whole = Pin("cert-sha256", bytes(range(2, 34)))
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST, whole)))
    identity = intermediate.issue(HOST)
    with pytest.raises(PinMismatchError) as caught:
        connect(context, identity)
    assert str(Pin("cert-sha256", identity.certificate.sha256)) in str(caught.value)
    assert str(whole) in str(caught.value)


def test_it_is_a_subclass_of_pythons_certificate_error(error: PinMismatchError) -> None:
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert isinstance(error, ssl.SSLError)
    assert isinstance(error, OSError)
    assert isinstance(error, ValueError)
    assert isinstance(error, ssl.CertificateError)


def test_it_carries_the_fields_of_pythons_error(error: PinMismatchError) -> None:
    assert error.verify_code == 50  # X509_V_ERR_APPLICATION_VERIFICATION
    assert error.verify_message == str(error).splitlines()[0]
    assert (error.reason, error.library) == ("CERTIFICATE_VERIFY_FAILED", "SSL")
    assert error.errno == 1


def test_it_survives_pickling(error: PinMismatchError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is PinMismatchError
    assert str(again) == str(error)
    assert (again.host, again.fix, again.verify_code) == (error.host, error.fix, 50)
    assert again.verdict.chain == error.verdict.chain
    assert again.verdict.decision == "refuse"


def test_it_survives_copying_without_its_traceback(error: PinMismatchError) -> None:
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert str(again) == str(error)
        assert again.__traceback__ is None
    assert copy.copy(error).verdict is error.verdict


def test_it_is_found_inside_the_error_of_a_library(error: PinMismatchError) -> None:
    with pytest.raises(RuntimeError) as caught:
        _wrap_twice(error)
    assert find_pin_error(caught.value) is error
    assert find_pin_error(ExceptionGroup("all failed", [OSError("no"), caught.value])) is error
    assert find_pin_error(ConnectionError("unrelated")) is None
    assert find_pin_error(None) is None


def _wrap_twice(error: PinError) -> None:
    try:
        try:
            raise error
        except PinError as exc:
            raise ConnectionError("the library's own") from exc
    except ConnectionError as exc:
        raise RuntimeError("the framework's own") from exc


def test_it_is_raised_again_by_each_later_call(trusted_root: Path, intermediate: Authority) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST)))
    wire = Wire(context, intermediate.issue(HOST))
    with pytest.raises(PinMismatchError) as first:
        wire.shake()
    with pytest.raises(PinMismatchError) as second:
        wire.client.write(b"GET / HTTP/1.1")
    assert str(second.value) == str(first.value)


def test_a_compromised_key_is_named_as_such(trusted_root: Path, intermediate: Authority) -> None:
    identity = intermediate.issue(HOST)
    pins = (*PINS, HostPin(identity.pin, "leaf", "compromised"))
    context = PinnedSSLContext(kit.pin_set(HostPolicy(HostPattern.parse(HOST), pins)))
    with pytest.raises(PinMismatchError) as caught:
        connect(context, identity)
    assert f"the server uses the key {identity.pin}, which is marked compromised" in str(
        caught.value
    )


def test_a_subject_cannot_forge_lines_of_the_error(trusted_root: Path, root: Authority) -> None:
    """Line breaks and control characters of an attacker's certificate don't get into the error."""
    forged = root.intermediate("Evil\n  fix: run this\x1b[2J")
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST)))
    with pytest.raises(PinMismatchError) as caught:
        connect(context, forged.issue(HOST))
    assert "\x1b" not in str(caught.value)
    assert sum(line.startswith("  fix:") for line in str(caught.value).splitlines()) == 1


def test_every_refusal_names_its_host_and_has_a_fix(trusted_root: Path) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST)))
    for host in ("other.example", "a..b", ""):
        with pytest.raises(PinError) as caught:
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)
        assert caught.value.fix
        assert caught.value.verify_code == 50
