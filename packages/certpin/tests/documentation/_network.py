"""Run a command in a private network, with a TLS server on port 443 for the hosts of a page.

``python -m tests.documentation._network ADDRESS COMMAND …``, inside of ``scripts.private_network``,
which resolves these hosts to this machine. The certificates are read from the folder ``.servers``,
which ``_scripts.run_with_hosts`` writes. ADDRESS is one more address of the machine, or empty.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from email.utils import formatdate

_SIOCSIFADDR = 0x8916  # netdevice(7)
_HTTPS = 443
_ANSWER = "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def main() -> int:
    """Serve the hosts, and run the command. Return its exit status."""
    address, *command = sys.argv[1:]
    if address:
        _add_address(address)
    listener = socket.create_server(("127.0.0.1", _HTTPS))
    threading.Thread(target=_serve, args=(listener,), daemon=True).start()
    return subprocess.run(command, check=False).returncode


def _add_address(address: str) -> None:
    """Give the loopback device one more address, as that of a network card."""
    octets = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", octets))


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    """Answer one request with the certificate of the requested host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = _choose
    with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as tls:
        if tls.recv(65536):
            tls.sendall(_ANSWER.format(formatdate(usegmt=True)).encode())


def _choose(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f".servers/{name}.pem", f".servers/{name}.key")
    tls.context = context


if __name__ == "__main__":
    sys.exit(main())
