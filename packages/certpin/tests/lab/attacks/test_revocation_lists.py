"""A certificate that names a revocation list (CRL): the list, the clients that read it, reports."""

from __future__ import annotations

import socket
import ssl
import subprocess
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.lab.case import CannotServeError
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.report.words import action, clear_text_lines, exit_code
from certpin.lab.runner import prove
from certpin.lab.scenario import RevocationList
from certpin.lab.server.crl import ListRequest
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, request, right_client, run_case, trusting

if TYPE_CHECKING:
    from certpin.lab.scenario import Scenario
    from certpin.lab.target import Target

pytestmark = pytest.mark.medium

NAMES = ("rot-crl", "revoked-crl")
CHECK = "this client doesn't check the list of revoked certificates (CRL) that a certificate names"


def _leaf(scenario: Scenario) -> x509.Certificate:
    return x509.load_der_x509_certificate(scenario.first[0].chain[0])


def _address(leaf: x509.Certificate) -> str:
    """Return the URL of the revocation list that a certificate names; empty if it names none."""
    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ""
    (point,) = points
    assert point.full_name is not None
    return str(point.full_name[0].value)


def _checking(target: Target, proxy: str = "") -> str:
    """Send a request unless the revocation list that the certificate names contains it.

    ``proxy`` is the URL of the HTTP proxy for fetching the list; by default none.
    """
    handlers = [urllib.request.ProxyHandler({"http": proxy} if proxy else {})]
    opener = urllib.request.build_opener(*handlers)
    with (
        socket.create_connection((target.address, target.port), 10) as sock,
        trusting(target).wrap_socket(sock, server_hostname=target.host) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
        assert der is not None
        leaf = x509.load_der_x509_certificate(der)
        address = _address(leaf)
        if address:
            with opener.open(address, timeout=10) as answer:
                crl = x509.load_der_x509_crl(answer.read())
            if crl.get_revoked_certificate_by_serial_number(leaf.serial_number):
                raise ssl.SSLError("revoked")
        tls.sendall(f"GET /{target.canary} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        return tls.recv(4096).decode()


# The list.


@pytest.mark.parametrize("name", NAMES)
def test_the_list_is_of_the_issuer_and_has_the_certificate_if_it_is_revoked(name: str) -> None:
    with Lab() as lab:
        pki = lab.pki(lab.host)
        scenario = BY_NAME[name].scenario(pki)
    assert scenario.crl is not None
    crl, leaf = x509.load_der_x509_crl(scenario.crl.der), _leaf(scenario)
    key = pki.intermediate.x509.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    assert crl.issuer == leaf.issuer
    assert crl.last_update_utc < pki.now
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > pki.now
    assert _address(leaf) == scenario.crl.url
    found = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    assert (found is not None) == (name == "revoked-crl")
    assert leaf.public_key() == pki.leaf.chain[0].public_key()


def test_each_attempt_has_its_own_list_on_one_port_that_ends_with_the_lab() -> None:
    with Lab() as lab:
        lab.case_server(BY_NAME["control-good"])
        assert lab._lists is None
        servers = [lab.case_server(BY_NAME[name]) for name in (*NAMES, *NAMES)]
        lists = [server.scenario.crl for server in servers]
        urls = [found.url for found in lists if found]
        assert len({*urls}) == 4
        (port,) = {url.split("/")[2].rpartition(":")[2] for url in urls}
        with urllib.request.urlopen(urls[1], timeout=10) as answer:
            assert answer.headers["Content-Type"] == "application/pkix-crl"
        assert [found.fetched for found in lists if found] == [False, True, False, False]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port)), 10)


def test_without_a_running_lab_there_is_no_address() -> None:
    pki = TestPKI(Authorities(datetime.now(UTC)), "a.example", "b.example", Style.LEAF)
    for name in NAMES:
        with pytest.raises(CannotServeError, match="certpin prove"):
            BY_NAME[name].scenario(pki)


@pytest.mark.parametrize("target", ["/1.crl", "http://127.0.0.1:1/1.crl"])
def test_a_request_in_pieces_is_answered(target: str) -> None:
    served = RevocationList("http://127.0.0.1:1/1.crl", b"signed")
    one = ListRequest({"/1.crl": served})
    for byte in f"GET {target} HTTP/1.0\r\n\r\n".encode():
        assert not one.done
        one.receive(bytes([byte]))
    assert one.done
    assert one.data_to_send().endswith(b"\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsigned")
    assert one.data_to_send() == b""
    one.receive(b"more")
    assert served.fetched


@pytest.mark.parametrize("junk", [b"GET /2.crl HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n"])
def test_another_request_gets_nothing(junk: bytes) -> None:
    served = RevocationList("http://127.0.0.1:1/1.crl", b"signed")
    one = ListRequest({"/1.crl": served})
    one.receive(junk)
    assert one.done
    assert one.data_to_send().startswith(b"HTTP/1.1 404 ")
    assert not served.fetched


@pytest.mark.parametrize("data", [b"", b"x" * 20_000])
def test_a_request_without_an_end_is_closed(data: bytes) -> None:
    one = ListRequest({})
    one.receive(data)
    assert (one.done, one.data_to_send()) == (True, b"")


# The clients.


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(("name", "status"), [("rot-crl", 0), ("revoked-crl", 1)])
def test_openssl_fetches_the_list_and_refuses_a_certificate_in_it(name: str, status: int) -> None:
    words = ["-quiet", "-verify_return_error", "-crl_check", "-crl_download"]
    with Lab() as lab:
        server = lab.case_server(BY_NAME[name])
        target = server.open()
        words += ["-CAfile", str(target.ca), "-servername", target.host]
        done = subprocess.run(
            ["openssl", "s_client", *words, "-connect", target.endpoint],
            input=f"GET /{target.canary} HTTP/1.1\r\n\r\n".encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        (seen,) = server.close()
    assert done.returncode == status, done.stderr
    assert (target.canary.encode() in seen.data) == (name == "rot-crl")
    assert seen.alert == ("certificate_revoked" if status else "")
    assert server.scenario.crl is not None
    assert server.scenario.crl.fetched


@pytest.mark.parametrize("style", Style)
def test_a_client_that_fetches_no_list_has_no_finding(style: Style) -> None:
    result = run_case("revoked-crl", right_client(style), style)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)
    assert action(result) == f"accepted: {CHECK} (it fetched no list)"
    good = run_case("rot-crl", right_client(style), style)
    assert (good.verdict, good.outcome) == (Verdict.ACCEPT, Outcome.RIGHT)
    assert good.why == "the canary arrived; it fetched no list"


def test_a_client_that_fetches_a_list_and_ignores_it_is_reported() -> None:
    def ignoring(target: Target) -> str:
        answer = _checking(target) if target.case == "rot-crl" else ""
        if target.case == "revoked-crl":
            with pytest.raises(ssl.SSLError):
                _checking(target)
        return answer or request(target, trusting(target))

    result = run_case("revoked-crl", Call(ignoring), Style.NONE)
    assert action(result) == f"accepted: {CHECK} (it fetched the list)"


@pytest.mark.parametrize("proxied", [False, True])
def test_a_request_for_a_list_is_no_leak(proxied: bool) -> None:
    client = Call(lambda target: _checking(target, target.proxy if proxied else ""))
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, client, [BY_NAME[name] for name in NAMES])
    _, good, revoked, _ = run.results
    assert run.controlled
    assert (good.verdict, good.outcome) == (Verdict.ACCEPT, Outcome.RIGHT)
    assert good.why == "the canary arrived; it fetched the list"
    assert (revoked.verdict, revoked.outcome) == (Verdict.REJECT, Outcome.TOLD)
    assert action(revoked) == "refused (it fetched the list)"
    assert clear_text_lines(run) == []
    assert exit_code(run) == 0
    for result in (good, revoked):
        assert [seen.clear for each in result.attempts for seen in each.connections] == [b""]
