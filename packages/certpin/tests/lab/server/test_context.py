"""The TLS contexts of a served case: servers that share tickets or request client certificates."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab.case import CannotServeError
from certpin.lab.pki import client_identity
from certpin.lab.scenario import ServerStep, TLSSettings
from certpin.lab.server.session import Session
from tests.lab.server._wire import HOST, SECOND, Wire, anyone, case_run, pki

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.server.session import CaseRun

VERSIONS = ["TLSv1_2", "TLSv1_3"]
GET = b"GET / HTTP/1.1\r\n\r\n"


def _presented(wire: Wire) -> bytes:
    return wire.tls.getpeercert(binary_form=True) or b""


def _shared(version: str, *words: str) -> CaseRun:
    """Return a served case in which each of two hosts has one of these ``tickets`` settings.

    ``version`` is the only TLS version.
    """
    first, second = (TLSSettings(oldest=version, newest=version, tickets=word) for word in words)
    other = ServerStep.of(pki().untrusted.issue(SECOND), settings=second)
    return case_run(pki().honest.but(settings=first), second=(other,))


def _resumes(case_run: CaseRun, host: str) -> bool:
    """Return True if a TLS session from the first host can be resumed with this host."""
    context = anyone()
    first = Wire(Session(case_run), context).handshake()
    first.say(GET)
    assert not first.session.seen.resumed
    again = Wire(Session(case_run), context, host, first.tls.session).handshake()
    assert again.tls.session_reused == again.session.seen.resumed
    assert again.say(GET).startswith(b"HTTP/1.1 200")
    return again.session.seen.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_steps_with_the_same_ticket_value_share_tickets(version: str) -> None:
    assert _resumes(_shared(version, "farm", "farm"), SECOND)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("words", [("one", "two"), ("farm", ""), ("", "farm"), ("", "")])
def test_steps_with_other_ticket_values_do_not_share(version: str, words: tuple[str, str]) -> None:
    assert not _resumes(_shared(version, *words), SECOND)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["", "farm"])
def test_a_host_takes_its_own_tickets(version: str, word: str) -> None:
    assert _resumes(_shared(version, word, word), HOST)


@pytest.mark.parametrize("version", VERSIONS)
def test_case_runs_do_not_share_tickets(version: str) -> None:
    context = anyone()
    first = Wire(Session(_shared(version, "farm", "farm")), context).handshake()
    first.say(GET)
    other = Session(_shared(version, "farm", "farm"))
    Wire(other, context, SECOND, first.tls.session).handshake()
    assert other.seen.secured
    assert not other.seen.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_steps_that_share_tickets_present_their_own_chains(version: str) -> None:
    shared = _shared(version, "farm", "farm")
    assert _presented(Wire(Session(shared)).handshake()) == pki().honest.chain[0]
    second = Wire(Session(shared), host=SECOND).handshake()
    assert _presented(second) == shared.scenario.second[0].chain[0]


def test_a_client_without_a_name_gets_its_chain_too() -> None:
    wire = Wire(Session(_shared("TLSv1_3", "farm", "farm")), host="192.0.2.1").handshake()
    assert wire.session.seen.hello is not None
    assert wire.session.seen.hello.server_name == ""
    assert _presented(wire) == pki().honest.chain[0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["", "farm"])
def test_requested_certificate_is_recorded(version: str, word: str, tmp_path: Path) -> None:
    identity = client_identity(datetime.now(UTC))
    settings = TLSSettings(oldest=version, newest=version, tickets=word, asks_certificate=True)
    asked = case_run(pki().honest.but(settings=settings), clients=identity.chain_pem.decode())
    context = anyone()
    context.load_cert_chain(*identity.write(tmp_path, "client"))
    for client, shown in ((context, identity.chain_pem), (anyone(), b"")):
        wire = Wire(Session(asked), client).handshake()
        assert wire.say(GET).startswith(b"HTTP/1.1 200")
        kept = wire.session.seen.client_certificate
        assert (ssl.DER_cert_to_PEM_cert(kept).encode() if kept else b"") == shown


def test_certificate_is_not_sent_unless_requested(tmp_path: Path) -> None:
    context = anyone()
    context.load_cert_chain(*client_identity(datetime.now(UTC)).write(tmp_path, "client"))
    assert Wire(Session(case_run()), context).handshake().session.seen.client_certificate == b""


def test_settings_that_openssl_refuses_are_reported() -> None:
    odd = case_run(pki().honest.but(settings=TLSSettings(ciphers="NO-SUCH-CIPHER")))
    session = Session(odd)
    wire = Wire(session)
    wire.handshake()
    assert session.done
    assert not session.seen.secured
    assert isinstance(odd.error, CannotServeError)
    assert "will not serve it" in str(odd.error)
