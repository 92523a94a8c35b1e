"""Clients that connect to the lab's port without a proxy."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin import PinSet
from certpin.lab.attacks import CONTROL
from certpin.lab.case import CannotServeError
from certpin.lab.client import Command, environment, substitute
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab._clients import BY_NAME, run_case

if TYPE_CHECKING:
    from certpin.lab.target import Target

HOST, SECOND = "api.bank.example", "cdn.bank.example"

# Like a client of dart:io with a connectionFactory: it connects to one address for every host,
# follows redirects, and uses no proxy.
_CLIENT = """
import http.client, socket, ssl, sys
from urllib.parse import urlsplit
from certpin import PinnedSSLContext, PinSet

address, ca, pins, *urls = sys.argv[1:]
context = PinnedSSLContext(PinSet.load(pins)) if pins else ssl.create_default_context()
context.load_verify_locations(ca)

class Connection(http.client.HTTPSConnection):
    def connect(self):
        sock = socket.create_connection((address, self.port), 10)
        self.sock = context.wrap_socket(sock, server_hostname=self.host)

for url in urls:
    while url:
        parts = urlsplit(url)
        connection = Connection(parts.hostname, parts.port)
        connection.request("GET", parts.path)
        response = connection.getresponse()
        response.read()
        moved = response.getheader("Location", "")
        url = f"https://{parts.netloc}{moved}" if moved.startswith("/") else moved
        connection.close()
"""
_WORDS = ("{address}", "{ca}", "{pins}", "{url}", "{url2}")
# The cases that lead to a second host or to an address: {host} and {port} don't reach them.
_FAR = (
    "swap-on-reconnect",
    "resumption-other-host",
    "second-host-unpinned",
    "http2-coalescing",
    "redirect-to-unpinned-host",
    "wrong-host-wildcard",
    "ip-without-ip-san",
    "ipv6-san",
)


def python(program: str, *words: str) -> Command:
    return Command((sys.executable, "-c", program, *words), via="port")


def _target(name: str = CONTROL.name, host: str = HOST, style: Style = Style.LEAF) -> Target:
    """Return the target that a client gets for a case; its server no longer runs."""
    with Lab(host, style) as lab:
        case_server = lab.case_server(BY_NAME[name])
        target = case_server.open()
        case_server.close()
    return target


def test_urls_name_the_port_only_without_a_proxy() -> None:
    target = _target()
    words = ("{url}", "{url2}", "{address}", "{endpoint}")
    assert substitute(words, target.direct) == [
        f"https://{HOST}:{target.port}/{target.canary}",
        f"https://{SECOND}:{target.port}/{target.canary}",
        "127.0.0.1",
        f"127.0.0.1:{target.port}",
    ]
    assert substitute(words[:2], target) == [
        f"https://{HOST}/{target.canary}",
        f"https://{SECOND}/{target.canary}",
    ]
    assert environment(target, "port")["CERTPIN_LAB_URL2"] == target.direct.second_url
    assert environment(target, "connect")["CERTPIN_LAB_URL2"] == target.second_url


@pytest.mark.parametrize(("via", "named"), [("port", True), ("connect", False), ("socks5", False)])
def test_command_gets_urls_for_its_transport(via: str, named: bool) -> None:
    target = _target()
    ending = Command((sys.executable, "-c", "import sys; print(sys.argv[1])", "{url}"), via)
    assert (f":{target.port}/" in ending.run(target).output) is named


@pytest.mark.slow
def test_a_client_without_proxy_support_meets_second_hosts_and_addresses() -> None:
    with Lab(HOST, Style.LEAF) as lab:
        run = prove(lab, python(_CLIENT, *_WORDS), [BY_NAME[name] for name in _FAR], jobs=2)
    assert run.controlled, run.results[0]
    found = {result.case.name: (result.verdict, result.outcome) for result in run.results[1:-1]}
    refused, accepted = (Verdict.REJECT, Outcome.RIGHT), (Verdict.ACCEPT, Outcome.RIGHT)
    expected = dict.fromkeys(_FAR, refused) | {"ipv6-san": accepted}
    assert found == expected, [result.why for result in run.results]


@pytest.mark.slow
def test_a_client_without_pins_is_caught_at_the_second_host() -> None:
    client = python(_CLIENT, "{address}", "{ca}", "", "{url}", "{url2}")
    result = run_case("second-host-unpinned", client, Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)


@pytest.mark.peer("curl")
@pytest.mark.parametrize("words", [("{url}",), ("--connect-to", "::{endpoint}", "{url}")])
def test_the_loopback_address_of_ipv6_is_reached(words: tuple[str, ...]) -> None:
    try:
        assert _target("ipv6-san", "localhost").endpoint.startswith("[::1]:")
    except CannotServeError as exc:
        pytest.skip(f"left out: {exc}")
    client = Command(("curl", "-sS", "--pinnedpubkey", "{pinnedpubkey}", *words), via="port")
    result = run_case("ipv6-san", client, Style.LEAF, "localhost")
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.RIGHT), result.why


@pytest.mark.parametrize("style", Style)
def test_the_second_host_has_the_pins_of_the_pin_file(style: Style) -> None:
    with Lab(HOST, style) as lab:
        case_server = lab.case_server(CONTROL)
        target = case_server.open()
        case_server.close()
        policy = PinSet.load(target.pins).policy_for(SECOND)
    assert policy is not None
    words = substitute(("{pin2}", "{backup2}"), target)
    assert words == [str(pin.pin) for pin in policy.pins]


@pytest.mark.parametrize(("style", "depth"), [(Style.NONE, 0), (Style.LEAF, 0), (Style.CA, 1)])
def test_the_whole_certificate_is_the_one_whose_key_is_pinned(style: Style, depth: int) -> None:
    with Lab(HOST, style) as lab:
        case_server = lab.case_server(CONTROL)
        target = case_server.open()
        case_server.close()
        pem, fingerprint = substitute(("{cert}", "{fingerprint}"), target)
        found = Certificate.from_der(ssl.PEM_cert_to_DER_cert(Path(pem).read_text("ascii")))
        served = lab.pki(HOST).real_chain[depth]
    assert found.der == served.public_bytes(Encoding.DER)
    assert str(Pin.of_key(found.spki_sha256)) == target.pin
    assert Pin.parse(f"cert-sha256/{fingerprint}") == Pin("cert-sha256", found.sha256)


# Pinned on a whole certificate in both ways: as its only anchor, and by its fingerprint.
_WHOLE = """
import hashlib, socket, ssl, sys
address, port, host, cert, fingerprint = sys.argv[1:]
context = ssl.create_default_context(cafile=cert)
context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
with socket.create_connection((address, int(port)), 10) as sock:
    with context.wrap_socket(sock, server_hostname=host) as tls:
        assert hashlib.sha256(tls.getpeercert(True)).digest().hex(":").upper() == fingerprint
        tls.sendall(f"GET / HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        tls.recv(4096)
"""


@pytest.mark.slow
def test_a_client_that_pins_a_whole_certificate_breaks_at_its_renewal() -> None:
    client = python(_WHOLE, "{address}", "{port}", "{host}", "{cert}", "{fingerprint}")
    names = ("rogue-ca-in-store", "same-ca-new-key", "rot-renewed-same-key")
    with Lab(HOST, Style.LEAF) as lab:
        run = prove(lab, client, [BY_NAME[name] for name in names])
    assert run.controlled, run.results[0]
    assert [(result.verdict, result.outcome) for result in run.results[1:-1]] == [
        (Verdict.REJECT, Outcome.RIGHT),
        (Verdict.REJECT, Outcome.RIGHT),
        (Verdict.REJECT, Outcome.WRONG),
    ]
