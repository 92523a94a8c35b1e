"""Cases of dates: each chain was or will be valid, and has no other flaw."""

from __future__ import annotations

import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin import PinSet
from certpin.lab import client
from certpin.lab.case import CannotServeError, Expect
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, right_client, run_case
from tests.lab.attacks._broken import checking, flagged, leaf, nameless, pins_only
from tests.lab.attacks._forged import HOST, Forged

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from certpin import HostPolicy
    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h)

# When each chain is valid, in days from now.
GOOD_AT = {"expired": -20, "not-yet-valid": 20, "expired-intermediate": -20}
PROBLEM = {
    "expired": "certificate has expired",
    "not-yet-valid": "certificate is not yet valid",
    "expired-intermediate": "certificate has expired",
}


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", GOOD_AT)
def test_nothing_but_the_date_is_wrong(name: str) -> None:
    forged = Forged(name)
    assert PROBLEM[name] in forged.openssl()
    moment = forged.pki.now + timedelta(days=GOOD_AT[name])
    assert forged.openssl("-attime", str(int(moment.timestamp()))) == ""
    assert forged.has_the_pinned_key


def test_which_certificate_is_out_of_date() -> None:
    good = {name: [_is_good(certificate) for certificate in Forged(name).chain] for name in GOOD_AT}
    assert good == {
        "expired": [False, True],
        "not-yet-valid": [False, True],
        "expired-intermediate": [True, False],
    }


def _is_good(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc


@pytest.mark.parametrize("name", GOOD_AT)
def test_a_client_that_forgives_dates_is_caught(name: str) -> None:
    client = checking(lambda *_: True, flagged(NO_CHECK_TIME))
    assert run_case(name, client, Style.NONE).outcome is Outcome.WRONG


@pytest.mark.parametrize("name", GOOD_AT)
def test_pin_check_instead_of_date_check_is_caught(name: str) -> None:
    client = checking(pins_only, flagged(NO_CHECK_TIME))
    assert run_case(name, client, Style.LEAF).outcome is Outcome.WRONG


def test_each_date_case_catches_its_own_fault() -> None:
    def ends(_: Target, tls: ssl.SSLSocket) -> bool:
        return leaf(tls).not_valid_after_utc > datetime.now(UTC)

    def begins_and_ends(target: Target, tls: ssl.SSLSocket) -> bool:
        return ends(target, tls) and leaf(tls).not_valid_before_utc < datetime.now(UTC)

    caught = {
        check: [
            name
            for name in GOOD_AT
            if run_case(name, checking(check, _timeless), Style.NONE).outcome is Outcome.WRONG
        ]
        for check in (ends, begins_and_ends)
    }
    assert caught == {
        ends: ["not-yet-valid", "expired-intermediate"],
        begins_and_ends: ["expired-intermediate"],
    }


def _timeless(target: Target) -> ssl.SSLContext:
    context = nameless(target)
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    return context


# Asks for the URL through the lab's proxy, with certpin's own pins from the environment.
_PINNED = """
import os, socket, sys, urllib.parse
from certpin import PinnedSSLContext, PinSet
context = PinnedSSLContext(PinSet.from_env()) if sys.argv[1] == "pinned" else None
if context is None:
    import ssl
    context = ssl.create_default_context()
context.load_verify_locations(os.environ["SSL_CERT_FILE"])
url = urllib.parse.urlsplit(sys.argv[2])
with socket.create_connection(("127.0.0.1", int(sys.argv[3])), 10) as sock:
    with context.wrap_socket(sock, server_hostname=url.hostname) as tls:
        tls.sendall(f"GET {url.path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        print(tls.recv(4096))
"""


def _program(kind: str) -> Command:
    return Command((sys.executable, "-c", _PINNED, kind, "{url}", "{port}"), via="port")


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
@pytest.mark.peer("faketime")
def test_expired_pins_follow_the_policy_of_their_owner(style: Style) -> None:
    """A client with its clock past the pins' expiry refuses, and the lab does not judge that.

    All certificates are still valid at that time.
    """
    result = run_case("pin-set-expired", _program("pinned"), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.TOLD)
    assert "PinSetExpiredError" in result.attempts[0].ending.output


@pytest.mark.peer("faketime")
def test_client_without_expiry_continues() -> None:
    result = run_case("pin-set-expired", _program("plain"), Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)


def test_the_pins_expire_between_the_two_clocks_and_no_certificate_does() -> None:
    case = BY_NAME["pin-set-expired"]
    with Lab(style=Style.LEAF) as lab:
        policy, usual = (_policy(lab, name) for name in ("pin-set-expired", "control-good"))
        pki = lab.pki(HOST)
    then = pki.now + case.clock
    assert not policy.expired(pki.now)
    assert policy.expired(then)
    assert usual.expires is None
    assert list(policy.live_pins) == list(usual.live_pins), "the same pins for the whole run"
    assert then < min(
        certificate.not_valid_after_utc for certificate in (*pki.leaf.chain, pki.root.x509)
    )


def _policy(lab: Lab, name: str) -> HostPolicy:
    case_server = lab.case_server(BY_NAME[name])
    target = case_server.open()
    case_server.close()
    assert target.clock == BY_NAME[name].clock
    policy = PinSet.load(target.pins).policy_for(HOST)
    assert policy
    return policy


def test_function_is_not_run_with_a_moved_clock() -> None:
    result = run_case("pin-set-expired", right_client(Style.LEAF), Style.LEAF)
    assert result.outcome is Outcome.NOT_RUN
    assert "clock" in result.why
    assert "COMMAND" in result.why


def test_expiry_of_pins_does_not_apply_without_pins() -> None:
    assert BY_NAME["pin-set-expired"].expected.of(Style.NONE) is Expect.UNDEFINED


def test_missing_libfaketime_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FOLDERS", ("/nowhere",))
    with pytest.raises(CannotServeError, match="apt-get install libfaketime"):
        client.moved_clock(timedelta(days=1))
    assert client.moved_clock(timedelta(0)) == {}


def test_libfaketime_is_added_to_existing_preloads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libfaketime.so.1").touch()
    (tmp_path / "libfaketime.1.dylib").touch()
    monkeypatch.setattr(client, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv(client._PRELOAD, "/lib/other.so")
    variables = client.moved_clock(timedelta(days=2))
    assert variables["FAKETIME"] == "+172800"
    library, _, other = variables[client._PRELOAD].partition(":")
    assert library.startswith(str(tmp_path))
    assert other == "/lib/other.so"
