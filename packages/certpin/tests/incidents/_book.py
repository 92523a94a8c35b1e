"""An incident, played on the command line: its clock, its servers, its clients and its record."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from certpin.lab import Authority, Identity, LabServer
from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.x509.certificate import read_certificates
from tests.cli.conftest import invoke
from tests.incidents._crowd import HOST, Crowd

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

BEGIN = datetime(2027, 3, 1, 9, tzinfo=UTC)
# OpenSSL has the clock of the machine: certificates are valid at any date of that and of the book.
_ISSUED, _DAYS = datetime(2026, 1, 1, tzinfo=UTC), 36_500
_MINUTE = timedelta(minutes=1)
_RISK = re.compile(r"(?:at risk: |LOCK-OUT: )([\d,]+) client")
_COMMAND = re.compile(r"certpin (?:rotate|publish|add|check|lint) [^:;()`\n]*")


class Server(LabServer):
    """A TLS server with the clock of the book in its ``Date``."""

    book: Book

    def _answer(self, connection: ssl.SSLSocket) -> None:
        date = format_datetime(self.book.now, usegmt=True)
        head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())


@dataclass(frozen=True)
class Said:
    """A command that was typed, its exit code, and what it printed."""

    command: str
    code: int
    text: str

    @property
    def at_risk(self) -> int:
        """How many clients would be locked out, as the command predicts it."""
        (first, *_) = _RISK.findall(self.text)
        return int(first.replace(",", ""))

    def printed(self, beginning: str) -> str:
        """Return the only command in the output that begins so, as a user copies it."""
        found = dict.fromkeys(each.strip().rstrip(".,") for each in _COMMAND.findall(self.text))
        (command, *more) = [each for each in found if each.startswith(f"certpin {beginning}")]
        assert not more, (command, more)
        return command


@dataclass(frozen=True)
class Damage:
    """What the wrong way does: the figure of certpin, and the clients that were counted.

    Attributes:
        sampled: the clients are a sample of slow and fast ones, so the figures differ by chance.
    """

    what: str
    predicted: int
    counted: int
    of: int
    sampled: bool


@dataclass
class Record:
    """What an incident found."""

    said: list[Said] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    refused_after: int | None = None


class Book:
    """One incident. A context manager: it has a folder, a clock and a trust store of its own."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.crowd = Crowd()
        self.servers: dict[str, Server] = {}
        self.record = Record()
        self._names: dict[Pin, str] = {}
        self._identities: dict[str, Identity] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Book:
        enter = self._stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="certpin-incident-")))
        (folder / "work").mkdir()
        enter(chdir(folder / "work"))
        self.root = Authority("Root A", now=_ISSUED, days=_DAYS)
        self.other_root = Authority("Root B", now=_ISSUED, days=_DAYS)
        trusted = folder / "roots.pem"
        trusted.write_bytes(self.root.pem + self.other_root.pem)
        self.name(self.root.pin, "root A")
        self.name(self.other_root.pin, "root B")
        environment = {"SSL_CERT_FILE": str(trusted), "SSL_CERT_DIR": str(folder / "none")}
        enter(patch.dict(os.environ, environment | {"CERTPIN_WHO": "anna"}))
        for name in ("CERTPIN_PINS", "CERTPIN_PASSPHRASE", "CERTPIN_DEBUG", "COLUMNS"):
            os.environ.pop(name, None)
        enter(patch("certpin.pins.utc_now", lambda: self.now))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    # Certificates and servers.

    def authority(self, name: str, above: Authority | None = None) -> Authority:
        """Return an intermediate, by default below root A, and write it to ``NAME.pem``."""
        made = Authority(name, issuer=above or self.root, days=_DAYS)
        Path(f"{name}.pem").write_bytes(made.pem)
        self.name(made.pin, f"{name}.pem")
        return made

    def certificate(self, issuer: Authority, file: str, key: Any = None) -> Identity:
        """Issue a certificate for the host, and write its chain to ``FILE``."""
        made = issuer.issue(HOST, key=key, days=_DAYS)
        Path(file).write_bytes(made.chain_pem)
        return made

    def key(self, file: str, issuer: Authority) -> Identity:
        """Make a key in a file, and return it with a certificate."""
        made = issuer.issue(HOST, days=_DAYS)
        made.write(Path(), file)
        return made

    def serve(self, identity: Identity, *names: str) -> None:
        """Start a server for each name, or let the one that runs present another certificate."""
        for name in names or self.servers or ("eu",):
            if name not in self.servers:
                server = self.servers[name] = Server(identity)
                server.book = self
                self._stack.enter_context(server)
            self.servers[name].use(identity)
            self._identities[name] = identity

    # The pin file, and the way of its versions.

    def pin_file(self, *pins: tuple[Pin, str, str], match: str = "any", extra: str = "") -> None:
        """Write version 1 of the pin file, with each pin's role and state, and all servers."""
        lines = ["schema = 1", 'name = "bank"', "version = 1", "[[host]]", f'name = "{HOST}"']
        lines += [f'match = "{match}"', extra]
        for name, server in self.servers.items():
            address = f'address = "127.0.0.1:{server.port}"'
            lines += ["[[host.server]]", address, f'region = "{name}"']
        for pin, role, state in pins:
            lines += ["[[host.pin]]", f'pin = "{pin}"', f'role = "{role}"', f'state = "{state}"']
            lines += [f'note = "key file {self._names[pin]}"'] if pin in self._names else []
        Path("pins.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def name(self, pin: Pin, text: str) -> None:
        """Give a pin a name for the page."""
        self._names[pin] = text

    def fetched(self) -> None:
        """Let clients fetch the pin file from now on: the file only, as it is."""
        self.crowd.fetch(PinSet.load("pins.toml"), self.now)

    # The clock, the commands, and the damage.

    def days(self, days: float) -> None:
        """Let time pass."""
        self.now += timedelta(days=days)

    def certpin(self, command: str, *, code: int = 0, show: bool = True) -> Said:
        """Type a command, which has to end with this exit code."""
        self.now += _MINUTE
        program, *words = shlex.split(command)
        assert program == "certpin"
        done = invoke(*words)
        text = done.out + done.err
        self._name_keys()
        said = Said(command, done.code, text)
        assert done.code == code, f"{command}\n{text}"
        if show:
            self.record.said.append(Said(self.plain(command), code, self.plain(text)))
        return said

    def follow(self, said: Said, beginning: str, *, code: int = 0, add: str = "") -> Said:
        """Type the command that another one printed, unchanged."""
        command = f"{said.printed(beginning)}{add}"
        self.record.advice.append(self.plain(command))
        return self.certpin(command, code=code)

    def plain(self, text: str) -> str:
        """Return an output with names instead of the random pins and ports."""
        for pin, name in self._names.items():
            text = text.replace(str(pin), f"PIN({name})")
            text = text.replace(f"{str(pin)[:19]}…", f"PIN({name})")
        for index, server in enumerate(self.servers.values(), 7):
            text = text.replace(f"127.0.0.1:{server.port}", f"192.0.2.{index}:443")
        return text

    def refusing(self) -> int:
        """Return how many clients refuse their server now."""
        return self.crowd.refusals(list(self.servers.values()), self.now)

    def damage(self, what: str, predicted: int, *, sampled: bool = False) -> None:
        """Count the clients that refuse their server, and compare that with a prediction.

        A sample may differ by four standard deviations, and by certpin's error of 0.1 %.
        """
        counted, of = self.refusing(), self.crowd.size
        self.record.damages.append(Damage(what, predicted, counted, of, sampled))
        share = predicted / of
        sigma = (share * (1 - share) * of) ** 0.5
        tolerance = 4 * sigma + 0.001 * of + 1 if sampled else 0
        assert abs(counted - predicted) <= tolerance, (what, predicted, counted)
        assert counted > 0, what

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Go another way for a while, and come back: files, servers, clients and clock."""
        before = self.now, self.crowd, dict(self._identities), replace(self.record)
        self.crowd = self.crowd.copy()
        here = Path()
        with tempfile.TemporaryDirectory() as saved:
            shutil.copytree(here, saved, dirs_exist_ok=True)
            yield
            for path in here.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(saved, here, dirs_exist_ok=True)
        self.now, self.crowd, identities, _ = before
        for name, identity in identities.items():
            self.serve(identity, name)

    def all_connect(self) -> None:
        """Count the clients that refuse their server after the advice: none may."""
        self.record.refused_after = self.refusing()
        assert self.record.refused_after == 0

    def _name_keys(self) -> None:
        from certpin.cli.named_key import resolve_key

        for path in sorted(Path().glob("*.key")):
            if path.name not in self._names.values():
                self.name(resolve_key(str(path)).pin, path.name)
