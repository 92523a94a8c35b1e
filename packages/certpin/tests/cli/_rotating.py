"""Helpers for tests of rotation commands, which work on the journal in the current folder."""

from __future__ import annotations

import shlex
import socket
import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.rotate.files import RotationFiles
from certpin.cli.rotate.recording import mark_published
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.pins.policy import meaning
from certpin.rotation import (
    Event,
    History,
    format_journal,
    journal_path,
    load_journal,
    parse_journal,
)
from certpin.tls import PinnedSSLContext
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.cli.conftest import Done, Run
    from tests.servers.nginx import Nginx

JOURNAL = Path("pins.journal.jsonl")
APP = ("--app", "com.bank.app", "--release", "1")
DROPS_HOST = ("--force", "--reason", "no client connects to the other host any more")
SERVED = ("--offline", "--served", "served.pem")
QUICK = ("--cdn", "0s", "--cache", "0s", "--poll", "1h", "--opened", "9d", "--skew", "1h")


def all_events() -> tuple[Event, ...]:
    """Return all events of the journal in the current folder."""
    return parse_journal(JOURNAL.read_text(encoding="utf-8"))


def journal() -> tuple[Event, ...]:
    """Return the events of the journal, without the observations of servers."""
    return tuple(event for event in all_events() if event.step != "observe")


def days_pass(days: float) -> None:
    """Move every event of the journal ``days`` into the past, as if that time had passed since."""
    events = [replace(event, time=event.time - timedelta(days=days)) for event in all_events()]
    JOURNAL.write_text(format_journal(events), encoding="utf-8")


def history() -> History:
    return History(all_events())


def states() -> list[str]:
    """Return the states of the first host's pins in the pin file."""
    return [entry.state for entry in PinSet.load("pins.toml").policies[0].pins]


def stepped(run: Run, *words: Any) -> tuple[Done, dict[str, Any]]:
    """Run ``certpin rotate WORDS --json``. Fail unless its JSON is as documented.

    Returns:
        The result of the command, and the JSON data.
    """
    done = run("rotate", *words, "--json")
    _documented.check("rotation step", done.json)
    assert done.json["done"] == (done.code == 0)
    return done, done.json


def invariants(facts: dict[str, Any]) -> list[str]:
    return [breach["invariant"] for breach in facts["breaches"]]


def next_action(run: Run, **env: str) -> dict[str, Any]:
    """Return the next action that ``rotate status`` prints for the first host.

    The server presents the chain in ``served.pem``; without this file, no server is contacted.
    """
    words = SERVED if Path("served.pem").exists() else ("--offline",)
    facts = run("rotate", "status", *words, "--json", **env).json
    found: dict[str, Any] = facts["hosts"][0]["next"]
    return found


def all_files(*places: Path) -> dict[Path, bytes]:
    """Return the content of files, and of all files in folders, by path."""
    paths = [path for place in places for path in (place, *place.rglob("*"))]
    return {path: path.read_bytes() for path in paths if path.is_file()}


def next_number(path: str = "pins.toml") -> str:
    """Return the version number under which the pin file is published next."""
    pins, latest = PinSet.load(path), load_journal(journal_path(Path(path))).deployed.latest
    if latest is None or pins.version > latest.number:
        return str(pins.version)
    return str(latest.number + (meaning(pins) != meaning(latest.pins)))


def ship_long_ago(run: Run) -> None:
    """Record the pin file as a version that 12 clients received a hundred days ago."""
    shipped = run("rotate", "shipped", next_number(), "--offline", "--clients", "12")
    assert shipped.code == 0
    days_pass(100)


def record_signed(path: str = "pins.toml") -> None:
    """Record in the journal that the pin file is published and signed, without the gate's checks.

    ``certpin publish sign`` would check first that no client is locked out.
    """
    files = RotationFiles(Path(path))
    mark_published(files)
    number = int(next_number(path))
    files.editor.set_version(number)
    event = Event(utc_now(), "tests", "publish", version=number, signed=True, pins=files.pins)
    files.commit([replace(event, timing=files.timing)])


def accepts(pins: PinSet, server: Nginx) -> bool:
    """Return True if a client with these pins completes a real handshake."""
    context = PinnedSSLContext(pins)
    plain = socket.create_connection(("127.0.0.1", server.port), 10)
    try:
        context.wrap_socket(plain, server_hostname=HOST).close()
    except ssl.SSLCertVerificationError:
        return False
    finally:
        plain.close()
    return True


class Bank:
    """A bank with its own root, one server with the key A, and the backup B.

    Attributes:
        served: the options for a command that name the chain of the server.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.root = Authority("Root")
        self.issuer = self.root.intermediate("Issuer")
        self.a, self.b, self.n = (self.issuer.issue(HOST) for _ in range(3))
        Path("root.pem").write_bytes(self.root.pem)
        for name, identity in (("a", self.a), ("b", self.b), ("n", self.n)):
            Path(f"{name}.key").write_bytes(identity.key_pem)
            Path(f"{name}.pem").write_bytes(identity.chain_pem)
        for name, authority in (("issuer", self.issuer), ("root", self.root)):
            Path(f"{name}.key").write_bytes(authority.key_pem)
        policy = kit.policy(HOST, self.a.pin, self.b.pin)
        leaf, backup = policy.pins
        pins = (leaf, replace(backup, state="published"))
        write(replace(policy, pins=pins), trust=Path("root.pem"))
        self.install(self.a)
        assert self("shipped", next_number(), "--clients", "1200").code == 0
        days_pass(100)

    def install(self, identity: Identity) -> None:
        """Let the server present the certificate of ``identity``."""
        Path("served.pem").write_bytes(identity.chain_pem + self.root.pem)

    def __call__(self, command: str, *words: str) -> Done:
        """Run a rotation command, which sees the chain of the server."""
        connects = command not in {"start", "csr", "history"}
        served = SERVED if connects else ()
        return self.run("rotate", command, *words, *served)

    def emergency(self, key: str, fact: str) -> tuple[Done, dict[str, Any]]:
        """Report a key. Return the result, and the path of the host."""
        done = self("emergency", key, fact, "--json")
        return done, done.json["hosts"][0]

    def follow(self, path: dict[str, Any]) -> None:
        """Run every printed command in its order, and wait for its date. All must end with 0.

        The placeholder ``KEY`` is replaced by the file of the backup, which no note names.
        """
        made: Path | None = None
        for step in path["steps"]:
            if step["not_before"]:
                days_pass(33)
            if step["act"] == "install":
                key = Path("next.key") if made else Path("b.key")
                loaded = load_pem_private_key(key.read_bytes(), None)
                self.install(self.issuer.issue(HOST, key=loaded))  # type: ignore[arg-type]
            for command in step["commands"]:
                _, _, name, *words = shlex.split(command)
                done = self(name, *("b.key" if word == "KEY" else word for word in words))
                assert done.code == 0, f"{command}: {done.out}{done.err}"
            if step["act"] == "start" and Path("next.key").exists():
                made = Path("next.key")
