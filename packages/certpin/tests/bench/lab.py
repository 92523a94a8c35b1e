"""The lab: a whole matrix in this process, and against curl beside plain calls of curl."""

from __future__ import annotations

import logging
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from certpin.lab import Authority
from certpin.lab.attacks import CASES
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from tests.bench.paired import Figure, ratio
from tests.lab._clients import right_client
from tests.lab._crowd import verdicts
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.client import ClientUnderTest
    from certpin.lab.runner import Run

_JOBS = 2
_PAIRS = 5
_HOST = "localhost"
_PINNED = Command(("curl", "-sS", "--pinnedpubkey", "{pinnedpubkey}", "{url}"))


def figures() -> Iterator[Figure]:
    """Measure how long a user waits for the lab."""
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
    with _curl_of(authority) as plain:
        pairs = sorted(_pair(plain) for _ in range(_PAIRS))
    name = f"lab: the matrix against curl / plain calls of curl, {_JOBS} at once"
    yield Figure(name, pairs[_PAIRS // 2], limit=1.5)
    yield in_process
    told, right = verdicts()
    wrong = sum(told.get(host) is not verdict for host, verdict in right.items())
    yield Figure(f"lab serve: wrong verdicts, {len(right)} connections at once", wrong, "", limit=0)


def _key_and_signature() -> None:
    """Make a key and a signature with cryptography: the minimum for a new certificate."""
    ec.generate_private_key(ec.SECP256R1()).sign(bytes(500), ec.ECDSA(SHA256()))


def _attack(client: ClientUnderTest) -> tuple[float, Run]:
    begin = time.perf_counter()
    with Lab(style=Style.LEAF) as lab:
        run = prove(lab, client, CASES, jobs=_JOBS)
    return time.perf_counter() - begin, run


def _pair(plain: list[str]) -> float:
    """Run the matrix, and then the same number of plain calls of curl."""
    attacked, run = _attack(_PINNED)
    calls = sum(len(each.attempts) for each in run.results)
    begin = time.perf_counter()
    with ThreadPoolExecutor(_JOBS) as pool:
        list(
            pool.map(lambda _: subprocess.run(plain, check=True, capture_output=True), range(calls))
        )
    return attacked / (time.perf_counter() - begin)


@contextmanager
def _curl_of(authority: Authority) -> Iterator[list[str]]:
    """Call curl for an nginx on this machine."""
    with nginx({_HOST: authority.issue(_HOST)}) as server, TemporaryDirectory() as folder:
        roots = Path(folder, "roots.pem")
        assert authority.issuer
        roots.write_bytes(authority.issuer.pem)
        yield ["curl", "-sS", "--cacert", str(roots), f"https://{_HOST}:{server.port}/"]
