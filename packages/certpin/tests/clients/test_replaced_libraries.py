"""Pinned clients beside packages that replace parts of the standard stack.

urllib3-future replaces urllib3, and rtls or utls replaces ``ssl``. They can't be in the
common environment, so these tests run in another one (requirements/niquests.txt): the files
``replaced/check_*.py``, which pytest does not collect here, the tests of all clients, and those of
the connection of signed updates.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.report.causes import find_causes
from certpin.lab.report.words import action
from certpin.lab.runner import prove
from tests.lab._clients import BY_NAME

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venvs" / "niquests" / "bin" / "python"
CHECKS = sorted(map(str, Path(__file__).parent.joinpath("replaced").glob("check_*.py")))
# The environment in which niquests, requests and urllib3 are tested like the others.
SHARED = [
    str(Path(__file__).with_name(f"test_{name}.py"))
    for name in ("conformance", "proxies", "requests", "sharing", "urllib3")
]
# The updater's connection, and tuf, which imports urllib3.
UPDATES = [
    str(Path(__file__).parents[1] / "updates" / name)
    for name in ("test_channel.py", "test_channel_http.py")
]

pytestmark = [pytest.mark.slow, pytest.mark.peer("nginx")]


def run_there(backend: str, files: list[str]) -> None:
    """Run test files in the niquests environment, and require that all tests pass.

    ``backend`` is the TLS library that urllib3-future uses over TCP there.
    """
    assert PYTHON.exists(), f"{PYTHON} is missing; fix: make environments"
    # Remove variables that would make the inner run measure, record, distribute or require tests.
    ours = ("COV", "CERTPIN_", "PYTEST_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=env | {"URLLIB3_FUTURE_SSL_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "skipped" not in said, said
    assert "passed" in said, said


@pytest.mark.parametrize("backend", ["ssl", "rtls", "utls"])
def test_pins_are_enforced_with_every_tls_backend(backend: str) -> None:
    run_there(backend, CHECKS)


@pytest.mark.peer("tinyproxy", "libnginx-mod-stream")
@pytest.mark.timeout(300)
def test_niquests_and_urllib3_future_pass_the_tests_of_all_clients() -> None:
    run_there("rtls", SHARED)


@pytest.mark.timeout(300)
def test_signed_updates_work_beside_urllib3_future() -> None:
    run_there("rtls", UPDATES)


# A session, and two requests with it. The name is resolved without a name server.
_SESSION = """
import sys
from niquests import Session
from certpin import PinSet
from certpin.clients.niquests import PinnedSession

kind, url, host, address, ca = sys.argv[1:]
resolver = f"in-memory://default?hosts={host}:{address}"
if kind == "pinned":
    session = PinnedSession(PinSet.from_env(), resolver=resolver)
else:
    session = Session(resolver=resolver, revocation_configuration=None)
    session.verify = ca
with session:
    for _ in range(2):
        answer = session.get(url, timeout=10)
        answer.raise_for_status()
print(answer.http_version)
"""


@pytest.mark.parametrize(
    ("kind", "cause", "used"),
    [
        ("plain", ["The client does not check its pins over HTTP/3"], "; it used HTTP/3"),
        ("pinned", [], "; it used no HTTP/3"),
    ],
)
def test_only_a_pinned_session_of_niquests_stays_on_tcp_in_the_lab(
    kind: str, cause: list[str], used: str
) -> None:
    """The lab finds that a plain niquests session uses HTTP/3, and that a pinned one does not.

    The plain session verifies chains, like a client that checks its pins over TCP only.
    """
    words = (str(PYTHON), "-c", _SESSION, kind, "{url}", "{host}", "{address}", "{ca}")
    cases = [BY_NAME[name] for name in ("http3-rogue", "http3-untrusted", "rot-http3")]
    with Lab() as lab:
        run = prove(lab, Command(words, via="port"), cases)
    assert run.controlled, [result.why for result in run.results]
    assert [found.title for found in find_causes(run.results)] == cause
    assert run.results[3].why.endswith(used)


_CHECKED = """
import sys
from niquests import Session

url, host, address, ca = sys.argv[1:]
with Session(resolver=f"in-memory://default?hosts={host}:{address},127.0.0.1:127.0.0.1") as session:
    session.get(url, timeout=10, verify=ca).raise_for_status()
"""


def test_niquests_fetches_a_list_of_revoked_certificates_in_the_lab() -> None:
    words = (str(PYTHON), "-c", _CHECKED, "{url}", "{host}", "{address}", "{ca}")
    with Lab() as lab:
        client = Command(words, via="port")
        run = prove(lab, client, [BY_NAME["rot-crl"], BY_NAME["revoked-crl"]])
    assert run.controlled, [result.why for result in run.results]
    _, good, revoked, _ = map(action, run.results)
    assert run.results[1].why == "the canary arrived; it fetched the list"
    assert (good, revoked) == ("accepted", "refused (it fetched the list)")
    assert "has been revoked" in run.results[2].attempts[0].ending.output
