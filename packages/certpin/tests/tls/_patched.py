"""Program that connects to a good and a rogue server after a library replaced Python's TLS.

    python -m tests.tls._patched LIBRARY before|after GOOD_PORT EVIL_PORT PIN

It patches Python before or after it imports certpin (``at-start``: Python was patched when it
started). It prints a JSON object with the result of each usage (a function of ``_usages.py``) at
both servers. With gevent, a greenlet of this program forwards the bytes: a client that blocks the
thread would never receive them.
"""

from __future__ import annotations

import json
import ssl
import sys
from importlib import import_module
from typing import Any

from tests.tls._usages import BLOCKING, HOST, USAGES

_PATCHES = {
    "gevent": lambda: import_module("gevent.monkey").patch_all(),
    "eventlet": lambda: import_module("eventlet").monkey_patch(),
    "truststore": lambda: import_module("truststore").inject_into_ssl(),
}


def forward(port: int) -> int:
    """Forward connections to the port ``port`` in a greenlet; return the port that accepts them."""
    gevent, sockets = import_module("gevent"), import_module("gevent.socket")
    listener = sockets.create_server((HOST, 0))

    def copy(source: Any, target: Any) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(sockets.SHUT_WR)

    def serve() -> None:
        while True:
            client, _ = listener.accept()
            server = sockets.create_connection((HOST, port))
            gevent.spawn(copy, client, server)
            gevent.spawn(copy, server, client)

    gevent.spawn(serve)
    return int(listener.getsockname()[1])


def outcome(usage: str, context: Any, port: int) -> object:
    certpin = import_module("certpin")
    try:
        return USAGES[usage](context, port)
    except Exception as exc:  # noqa: BLE001  # the test compares its name
        found = certpin.pin_error(exc) or exc
        return f"{type(found).__name__}: {found}".partition("\n")[0]


def clear_text(context: Any, port: int) -> list[str]:
    """Return what happens when a socket whose TLS isn't active sends data, in two situations.

    The socket isn't connected yet, or it was shut down. Each result is the text of the error, or
    ``"sent"`` if the data left in clear text.
    """
    import socket

    def after(step: Any) -> str:
        with context.wrap_socket(socket.socket(), server_hostname=HOST) as tls:
            try:
                step(tls)
                tls.sendall(b"a secret in clear text")
            except OSError as exc:
                return exc.strerror or ""
            return "sent"

    def shut(tls: Any) -> None:
        tls.connect((HOST, port))
        tls.shutdown(socket.SHUT_RD)

    return [after(lambda tls: None), after(shut)]


def main(library: str, order: str, good: str, evil: str, pin: str) -> None:
    if order == "before":
        _PATCHES[library]()
    import certpin

    if order == "after":
        _PATCHES[library]()
    entries = (
        certpin.HostPin(certpin.Pin("sha256", bytes.fromhex(pin)), "leaf"),
        certpin.HostPin(certpin.Pin("sha256", bytes(range(32))), "backup"),
    )
    policy = certpin.HostPolicy(certpin.HostPattern.parse(HOST), entries)
    context = certpin.PinnedSSLContext(certpin.PinSet("patched", 1, (policy,)))
    to = forward if library == "gevent" else int
    ports = to(int(good)), to(int(evil))
    usages = list(USAGES) if library == "truststore" else list(BLOCKING)
    if library == "eventlet":
        usages.remove("httpx")  # it would load trio, which doesn't work under eventlet
    told = {usage: [outcome(usage, context, port) for port in ports] for usage in usages}
    lost = clear_text(context, ports[0]) if library == "gevent" else []
    json.dump({"class": ssl.SSLContext.__module__, "usages": told, "lost": lost}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
