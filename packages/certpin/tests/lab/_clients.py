"""Helpers for lab tests: correct clients, functions that run a client on a case, process checks."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from certpin import PinnedSSLContext, PinSet
from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.case import CannotServeError
from certpin.lab.client import Call
from certpin.lab.forge import ml_dsa_key
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.scenario import RevocationList

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.pki import Authorities
    from certpin.lab.runner import Result
    from certpin.lab.target import Target


def _makes_ml_dsa() -> bool:
    try:
        ml_dsa_key()
    except CannotServeError:
        return False
    return True


# Older versions of cryptography make no post-quantum keys, and OpenSSL before 3.5 serves none.
MAKES_ML_DSA = _makes_ml_dsa()
MADE_CASES = tuple(case for case in CASES if MAKES_ML_DSA or case not in POST_QUANTUM)
BY_NAME = {case.name: case for case in (CONTROL, *CASES, *OPTIONAL_CASES)}

_NODE_REFUSES_IPV6 = """
const named = {subject: {}, subjectaltname: "IP Address:2001:DB8:0:0:0:0:0:1"};
process.exit(require("tls").checkServerIdentity("2001:db8::1", named) ? 1 : 0);
"""


@cache
def node_faults() -> dict[str, str]:
    """Return the verdict of each case that fails because of a fault of the installed Node.js.

    Debian's 20.19.2+dfsg-1+deb13u3 refuses every certificate for an IPv6 address, since its fix of
    CVE-2026-48618 converts the requested address as if it was a name.
    """
    done = subprocess.run(["node", "-e", _NODE_REFUSES_IPV6], check=False)
    return {"ipv6-san": "REJECT"} if done.returncode == 1 else {}


# urllib reads only the address of an https:// proxy, and sends CONNECT in clear text.
URLLIB = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read())
"""


def listing(authorities: Authorities) -> Authorities:
    """Make certificates of these authorities name a revocation list (CRL) that no server serves."""
    authorities.add_list = lambda: RevocationList("http://127.0.0.1:1/list.crl")
    return authorities


def trusting(target: Target) -> ssl.SSLContext:
    """Return a context without pins that trusts the target's roots."""
    return ssl.create_default_context(cafile=str(target.ca))


def pinned(target: Target) -> ssl.SSLContext:
    """Return a client context that trusts the target's roots and checks the target's pins."""
    context = PinnedSSLContext(PinSet.load(target.pins))
    context.load_verify_locations(target.ca)
    return context


def request(target: Target, context: ssl.SSLContext) -> str:
    """Send one request on a new connection to the lab's port. Return the answer."""
    with (
        socket.create_connection((target.address, target.port), 10) as sock,
        context.wrap_socket(sock, server_hostname=target.host) as tls,
    ):
        head = f"GET /{target.canary} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n"
        tls.sendall(head.encode())
        answer = b""
        while piece := tls.recv(4096):
            answer += piece
        return answer.decode()


def right_client(style: Style) -> Call:
    """Return a client with this style of pins (or none) that handles every case correctly."""
    context: Callable[[Target], ssl.SSLContext] = trusting if style is Style.NONE else pinned
    return Call(lambda target: request(target, context(target)))


def ends(pid: int) -> bool:
    """Return True if a killed process is gone, or only waits to be reaped by init."""
    for _ in range(500):
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            return True
        if text.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def run_case(
    case: Case | str, client: ClientUnderTest, style: Style, host: str = "api.bank.example"
) -> Result:
    """Run a client on one case, between two honest control cases, and return the case's result.

    Fails if the client does not accept the honest server in both control cases.
    """
    chosen = BY_NAME[case] if isinstance(case, str) else case
    with Lab(host, style) as lab:
        run = prove(lab, client, [chosen])
    assert run.controlled, [result.why for result in run.results]
    return run.results[1]
