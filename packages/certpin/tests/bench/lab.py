"""The time of the lab: all its cases against several clients, compared with plain calls of them."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from certpin.lab import Authority
from certpin.lab.attacks import CASES
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.warm import WarmCommand
from certpin.pins import pins_of
from tests.bench.paired import Figure, ratio
from tests.lab._clients import right_client
from tests.lab._crowd import verdicts
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.runner import Run

_JOBS = 2
_PAIRS = 5
_HOST = "localhost"
_CLIENT = """
import sys
import certpin
from certpin.clients.httpx import PinnedClient
with PinnedClient(certpin.PinSet.from_env()) as client:
    print(client.get(sys.argv[1]).text)
"""
_PINS = """
schema = 1
name = "bench"
version = 1
[[host]]
name = "{host}"
pin = [{{ pin = "{pin}" }}, {{ pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}]
"""
_PINNED = Command(("curl", "-sS", "--pinnedpubkey", "{pinnedpubkey}", "{url}"))


def figures() -> Iterator[Figure]:
    """Measure how long the lab takes: to issue certificates, and to run its cases on clients."""
    logging.getLogger("certpin").addHandler(logging.NullHandler())  # refusals are expected
    authority = Authority("Bench Root").intermediate("Bench Intermediate")
    minting = ratio(lambda: authority.issue("api.bank.test"), _key_and_signature, rounds=500)
    yield Figure("lab: minting a leaf, P-256 / a new key and a signature", minting, limit=5)
    client = right_client(Style.LEAF)
    timed = [_attack(client) for _ in range(_PAIRS)]
    cases = len(timed[0][1].results)
    in_process = Figure(
        f"  beside it: {cases} cases against a client in this process",
        min(took for took, _ in timed),
        " s",
    )
    with _served(authority, authority.issue(_HOST)) as (url, roots):
        plain = ["curl", "-sS", "--cacert", str(roots), url]
        pairs = sorted(_pair(plain, _PINNED) for _ in range(_PAIRS))
    name = f"lab: the matrix against curl / plain calls of curl, {_JOBS} at once"
    yield Figure(name, pairs[_PAIRS // 2], limit=1.5)
    yield from _python(authority)
    yield in_process
    told, right = verdicts()
    wrong = sum(told.get(host) is not verdict for host, verdict in right.items())
    yield Figure(f"lab serve: wrong verdicts, {len(right)} connections at once", wrong, "", limit=0)


def _python(authority: Authority) -> Iterator[Figure]:
    """Measure the lab with a Python client, as a new process for each case and as a forked one.

    Each result is a multiple of the time of as many plain calls of that client.
    """
    client = (sys.executable, "-c", _CLIENT, "{url}")
    identity = authority.issue(_HOST)
    with _served(authority, identity) as (url, roots), pytest.MonkeyPatch.context() as patch:
        pins = roots.with_name("pins.toml")
        pins.write_text(_PINS.format(host=_HOST, pin=pins_of(identity.certificate)[0]))
        plain = [*client[:-1], url]
        patch.setenv("CERTPIN_PINS", str(pins))
        patch.setenv("SSL_CERT_FILE", str(roots))
        cold = sorted(_pair(plain, Command(client)) for _ in range(_PAIRS))
        warm = sorted(_pair(plain, WarmCommand(client)) for _ in range(_PAIRS))
    name = f"a Python client / plain calls of it, {_JOBS} at once"
    yield Figure(f"lab: the matrix against {name}", cold[_PAIRS // 2], limit=1.4)
    yield Figure(f"lab: the matrix with --warm against {name}", warm[_PAIRS // 2], limit=0.4)


def _key_and_signature() -> None:
    """Make a key and a signature with cryptography: the minimum for a new certificate."""
    ec.generate_private_key(ec.SECP256R1()).sign(bytes(500), ec.ECDSA(SHA256()))


def _attack(client: ClientUnderTest) -> tuple[float, Run]:
    begin = time.perf_counter()
    with Lab(style=Style.LEAF, stall=0.0) as lab:  # the delay is the lab's choice, not its cost
        run = prove(lab, client, CASES, jobs=_JOBS)
    return time.perf_counter() - begin, run


def _pair(plain: list[str], client: Command) -> float:
    """Return the time of the lab's cases against a client, divided by that of plain calls.

    Args:
        plain: the command of a plain call; it runs as often as the lab ran the client.
        client: the client under test.
    """
    attacked, run = _attack(client)
    client.close()
    calls = sum(len(each.attempts) for each in run.results)
    begin = time.perf_counter()
    with ThreadPoolExecutor(_JOBS) as pool:
        list(
            pool.map(lambda _: subprocess.run(plain, check=True, capture_output=True), range(calls))
        )
    return attacked / (time.perf_counter() - begin)


@contextmanager
def _served(authority: Authority, identity: Identity) -> Iterator[tuple[str, Path]]:
    """Run nginx on this machine, and yield its URL and a file with the root to trust."""
    with nginx({_HOST: identity}) as server, TemporaryDirectory() as folder:
        roots = Path(folder, "roots.pem")
        assert authority.issuer
        roots.write_bytes(authority.issuer.pem)
        yield f"https://{_HOST}:{server.port}/", roots
