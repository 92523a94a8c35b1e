"""TLS to the lab's proxy: the tunnel inside it, the evidence, and clients that cannot use it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin.lab.scenario import PROXY_ADDRESS, Opening, Role, Scenario, ServerStep
from certpin.lab.server.session import CaseRun, Destination, Session
from certpin.lab.server.tls_proxy import TlsProxied
from tests.lab.server._wire import HOST, TOKEN, Wire, anyone, case_run, hello_of, pki

if TYPE_CHECKING:
    from certpin.lab.server.conversation import Conversation

HEAD = f"CONNECT {HOST}:443 HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\n\r\n".encode()
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class Connected:
    """A client with a TLS connection to the lab's proxy.

    ``heads`` collects the heads of the tunnel requests that the proxy received inside that TLS.
    """

    def __init__(self, *steps: ServerStep, proxy: ServerStep | None = None) -> None:
        self.run: CaseRun = case_run(*steps)
        self.heads: list[bytes] = []
        self.proxied = TlsProxied(self.run, proxy or pki().honest, self._serve)
        self.outer = Wire(self.proxied, host="localhost")  # type: ignore[arg-type]

    def _serve(self, reached: Destination, head: bytes) -> Conversation | None:
        self.heads.append(head)
        if reached.host != HOST:
            return None
        return Session(self.run, via="connect", target=reached.host)

    def open_tunnel(self) -> Wire:
        """Complete TLS with the proxy, open a tunnel, and return a TLS client inside the tunnel."""
        assert self.outer.handshake().say(HEAD).startswith(b"HTTP/1.1 200 ")
        return Wire(self)  # type: ignore[arg-type]

    def receive(self, data: bytes) -> None:
        """Send the inner client's data through the tunnel."""
        self.outer.tls.write(data)
        self.outer.carry()

    def data_to_send(self) -> bytes:
        """Return the data that the tunnel delivers to the inner client."""
        return self.outer.hear()


def test_the_host_is_served_inside_the_tls_with_the_proxy() -> None:
    client = Connected()
    inner = client.open_tunnel().handshake()
    assert inner.say(REQUEST).endswith(f"{TOKEN}\n".encode())
    proxy, host = client.run.connections
    assert (proxy.via, proxy.target, proxy.secured) == ("connect", PROXY_ADDRESS, True)
    assert proxy.hello is not None
    assert proxy.hello.server_name == "localhost"
    assert proxy.data == HEAD
    assert (host.secured, host.data) == (True, REQUEST)
    # The password for the proxy is encrypted.
    assert client.heads == [b""]


def test_clear_text_ends_the_connection_and_opens_no_tunnel() -> None:
    proxied = Connected().proxied
    proxied.receive(HEAD)
    assert proxied.done
    assert proxied.data_to_send() == b""
    assert proxied.seen.hello is None
    assert proxied.seen.problem == "it spoke in clear text"
    assert proxied.seen.said == b""


def test_a_client_that_leaves_is_over() -> None:
    silent = Connected().proxied
    silent.receive(hello_of(anyone())[:9])
    silent.receive(b"")
    assert silent.done
    client = Connected()
    client.open_tunnel().handshake()
    client.proxied.receive(b"")
    assert client.proxied.done


def test_a_request_that_is_none_ends_the_connection() -> None:
    client = Connected(proxy=pki().honest.but(role=Role.ATTACKER))
    assert client.outer.handshake().say(b"GET / HTTP/1.1\r\n\r\n") == b""
    assert client.proxied.done
    assert client.proxied.seen.said == b"GET / HTTP/1.1\r\n\r\n"


def test_a_request_in_clear_text_is_data_only_after_tls_failed() -> None:
    hostile = pki().honest.but(role=Role.ATTACKER)
    client = Connected(proxy=hostile)
    alone = TlsProxied(client.run, hostile, lambda _reached, _head: None)
    alone.receive(b"CONNECT api.bank.example:443 HTTP/1.1\r\n\r\n")
    assert alone.done
    assert alone.seen.said == b""
    client.outer.handshake()
    after = TlsProxied(client.run, hostile, lambda _reached, _head: None)
    after.receive(b"CONNECT api.bank.example:443 HTTP/1.1\r\n\r\n")
    assert after.seen.said.startswith(b"CONNECT api.bank.example:443")


def test_another_host_is_not_relayed_and_the_case_is_not_run() -> None:
    client = Connected()
    client.outer.handshake().say(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n")
    assert client.proxied.done
    assert client.proxied.passing is None
    assert "other.example" in str(client.run.error)


def test_a_slow_host_in_a_tunnel_is_served_after_its_pause() -> None:
    client = Connected(pki().honest.but(opening=Opening.SLOW))
    inner = client.open_tunnel()
    with pytest.raises(ssl.SSLWantReadError):
        inner.tls.do_handshake()
    inner.carry()
    assert client.proxied.pause > 0
    client.proxied.resume()
    assert client.proxied.pause == 0
    assert inner.handshake().say(REQUEST).endswith(f"{TOKEN}\n".encode())


def test_a_reset_in_a_tunnel_resets_the_connection() -> None:
    client = Connected(pki().honest.but(opening=Opening.RESET))
    inner = client.open_tunnel()
    with pytest.raises(ssl.SSLWantReadError):
        inner.tls.do_handshake()
    inner.carry()
    assert (client.proxied.done, client.proxied.resets) == (True, True)


def test_data_after_the_end_of_a_tunnel_counts() -> None:
    client = Connected()
    inner = client.open_tunnel().handshake()
    inner.say(REQUEST)
    assert client.proxied.done
    assert client.outer.tls.read(1) == b""  # close_notify
    client.receive(b"GET / in clear text, late\r\n")
    assert client.run.connections[1].clear.startswith(b"GET / in clear text")


def test_a_scenario_with_a_hostile_proxy_is_an_attack() -> None:
    hostile = pki().honest.but(role=Role.ATTACKER)
    assert Scenario((pki().honest,), tls_proxy=hostile).attacks
    assert not Scenario((pki().honest,), tls_proxy=pki().honest).attacks
