"""A full TLS 1.3 handshake in memory, with certpin's pins, without pins, and with peers' pins.

The peers are the fingerprint checks of urllib3 and aiohttp.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import truststore
from aiohttp import Fingerprint
from urllib3.util.ssl_ import assert_fingerprint

from certpin import PinnedSSLContext
from certpin.lab import Authority
from certpin.lab.lab_server import server_context
from tests import kit
from tests.bench.paired import Figure, ratio, ratios, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOST = "api.bank.test"
_ROUNDS = 2000
_PROMISED = 1.02  # or this much above the cheapest peer that checks a pin, in the same rounds:
_ABOVE_PEERS = 0.01


def figures() -> Iterator[Figure]:
    """Measure handshakes with and without pins, for a chain of three P-256 certificates."""
    root = Authority("Bench Root")
    identity = root.intermediate("Bench Intermediate").issue(_HOST)
    server = server_context(identity)
    plain = _trusting(ssl.create_default_context(), root)  # the platform's roots, as certpin has
    pinned = _trusting(PinnedSSLContext(kit.pin_set(kit.policy(_HOST, identity.pin))), root)
    native = _trusting(truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT), root)
    digest = identity.certificate.sha256

    def shake(context: ssl.SSLContext, then: Callable[[Any], object] | None = None) -> Any:
        return _handshake(context, server, then)

    def by_urllib3(client: Any) -> None:
        assert_fingerprint(client.getpeercert(binary_form=True), digest.hex())

    def by_aiohttp(client: Any) -> None:
        Fingerprint(digest).check(_Transport(client))  # type: ignore[arg-type]

    def baseline() -> object:
        return shake(plain)

    peers: dict[str, Callable[[], object]] = {
        "urllib3 assert_fingerprint": lambda: shake(plain, by_urllib3),
        "aiohttp Fingerprint": lambda: shake(plain, by_aiohttp),
    }
    jobs = [lambda: shake(pinned), *peers.values(), baseline]
    ours, *theirs, noise = ratios(jobs, baseline, rounds=_ROUNDS)
    limit = round(max(_PROMISED, min(theirs) + _ABOVE_PEERS), 3)
    yield Figure("handshake: certpin / plain ssl.SSLContext", ours, limit=limit)
    yield Figure("  beside it: plain ssl.SSLContext (the noise of this measurement)", noise)
    for name, value in zip(peers, theirs, strict=True):
        yield Figure(f"  beside it: {name} (leaf only, after it)", value)
    yield Figure(
        "  beside it: truststore (system verification, no pins)",
        ratio(lambda: shake(native), baseline, rounds=_ROUNDS // 20),
    )
    yield from _check_alone(shake(pinned), seconds(baseline, rounds=200))


def _check_alone(client: Any, handshake: float) -> Iterator[Figure]:
    """Measure only certpin's check of a chain that it has checked before.

    Args:
        client: the client's side of a finished handshake with pins.
        handshake: the seconds of a plain handshake, which the result is divided by.
    """
    judge, raw = client._check.judge, client._sslobj
    check = seconds(lambda: judge(raw), rounds=20_000)
    name = "only the check, certificates seen before / a plain handshake"
    yield Figure(name, check / handshake, limit=0.005)
    yield Figure("  beside it: the check", check * 1e6, " µs")


def _handshake(
    context: ssl.SSLContext, server: ssl.SSLContext, then: Callable[[Any], object] | None
) -> Any:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=_HOST)
    peer = server.wrap_bio(outgoing, incoming, server_side=True)
    for side in (client, peer, client, peer):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    if then is not None:
        then(client)
    return client


def _trusting(context: Any, root: Authority) -> Any:
    context.load_verify_locations(cadata=root.certificate.der)
    return context


class _Transport:
    """A substitute for an asyncio transport, with only the method that aiohttp's check calls."""

    def __init__(self, client: ssl.SSLObject) -> None:
        self._client = client

    def get_extra_info(self, name: str) -> Any:
        return {"ssl_object": self._client, "sslcontext": True, "peername": ("127.0.0.1", 1)}[name]
