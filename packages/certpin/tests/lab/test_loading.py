"""Keys are loaded from memory, so a killed process leaves none on the disk."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.lab.server.tls import load

if TYPE_CHECKING:
    from certpin.lab import Identity

_WATCH = """\
import json, os, ssl, sys
from certpin.lab import Authority, LabServer
from certpin.lab.scenario import ServerStep
from certpin.lab.server.tls import Contexts

made = []
def watch(event, args):
    if event in {"tempfile.mkdtemp", "tempfile.mkstemp", "os.mkdir"}:
        made.append(str(args[0]))
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        made.append(str(args[0]))
identity = Authority("Root").issue("localhost")
sys.addaudithook(watch)
LabServer(identity)._server.server_close()
Contexts().wrap(ServerStep.of(identity), (), ssl.MemoryBIO(), ssl.MemoryBIO())
print(json.dumps(made))
"""
_KILLED = """\
import os, signal, ssl
from certpin.lab import Authority
from certpin.lab.server.tls import load

class Context(ssl.SSLContext):
    def load_cert_chain(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)
identity = Authority("Root").issue("localhost")
load(Context(ssl.PROTOCOL_TLS_SERVER), identity.chain_pem, identity.key_pem)
"""


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Authority("Root").intermediate("Intermediate").issue("localhost")


@pytest.mark.medium
def test_loading_keys_creates_no_file() -> None:
    words = [sys.executable, "-c", _WATCH]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.medium
def test_a_process_that_is_killed_as_it_loads_a_key_leaves_nothing(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _KILLED], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory", [True, False])
def test_chain_and_key_are_those_that_were_given(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    if not memory:  # as on macOS
        monkeypatch.delattr(os, "memfd_create", raising=False)
    long = identity.chain_pem + identity.chain_pem * 200  # more than the buffer of a pipe
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, long, identity.key_pem)


@pytest.mark.parametrize("memory", [True, False])
def test_invalid_key_is_an_error_and_leaks_no_descriptor(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ssl.SSLError):
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), identity.chain_pem, b"junk")
    assert len(list(Path("/dev/fd").iterdir())) <= before
