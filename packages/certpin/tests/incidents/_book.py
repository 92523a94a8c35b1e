"""``Book``: runs one incident with certpin's commands, a set clock, servers and simulated clients.

The module calls none of the code that decides whether a key change is safe. It runs commands,
reads the texts that they print, and counts clients (``tests.incidents._crowd``).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.named_key import resolve_key
from certpin.lab import Authority, Identity, LabServer
from certpin.pinfile import PinSet
from tests.cli.conftest import invoke
from tests.incidents._crowd import HOST, Crowd

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from certpin.pins import Pin

BEGIN = datetime(2027, 3, 1, 9, tzinfo=UTC)
# OpenSSL has the clock of the machine: certificates are valid at any date of that and of the book.
_ISSUED, _DAYS = datetime(2026, 1, 1, tzinfo=UTC), 36_500
_MINUTE = timedelta(minutes=1)
_RISK = re.compile(r"(?:at risk: |LOCK-OUT: )([\d,]+) client")
# A command in a sentence ends at the first word that is no option, file, pin or number.
_WORD = r"(?: (?:--?[a-z][a-z-]*|'[^']*'|[\w+/=.:-]*[./=\d][\w+/=.:-]*))*"


class Server(LabServer):
    """A TLS server that reports the book's time in its ``Date`` header."""

    book: Book

    def _answer(self, connection: ssl.SSLSocket) -> None:
        date = format_datetime(self.book.now, usegmt=True)
        head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())


@dataclass(frozen=True)
class Said:
    """A certpin command line, and everything that it printed."""

    command: str
    text: str

    @property
    def at_risk(self) -> int:
        """How many clients would be locked out, as the command predicts it."""
        (number,) = dict.fromkeys(_RISK.findall(self.text))
        return int(number.replace(",", ""))

    @property
    def accepting(self) -> int:
        """How many clients accept a stolen key, as the command predicts it."""
        (number,) = re.findall(r"([\d,]+) clients? may accept the key", self.text)
        return int(number.replace(",", ""))

    def printed(self, beginning: str) -> str:
        """Return the first command that ``text`` contains and that begins with these words.

        ``beginning`` is without ``certpin``. The command is returned as a user copies it.
        """
        found = re.search(rf"certpin {re.escape(beginning)}\S*{_WORD}", self.text)
        assert found, (beginning, self.text)
        return found[0].rstrip(".,")


@dataclass(frozen=True)
class Damage:
    """How many clients a mistake against certpin's advice harms: predicted by certpin, and counted.

    Attributes:
        what: the mistake, in words.
        predicted: the number of clients that certpin printed.
        counted: the number of simulated clients that were harmed.
        of: the number of all clients.
        sampled: the clients draw their times at random, so that the figures differ by chance.
    """

    what: str
    predicted: int
    counted: int
    of: int
    sampled: bool = False

    @property
    def tolerance(self) -> int:
        """The largest allowed difference between ``predicted`` and ``counted``, in clients.

        It is 0 unless ``sampled``; then four standard deviations plus 0.1 % of the clients.
        """
        if not self.sampled:
            return 0
        share = self.predicted / self.of
        return int(4 * (share * (1 - share) * self.of) ** 0.5 + 0.001 * self.of) + 1


@dataclass
class Record:
    """The results of an incident, with names instead of pins and ports.

    Attributes:
        said: the commands that the page shows, with their output.
        damages: what happens if the operator acts against the advice.
        followed: the commands that certpin printed, and that were then run.
        refused: how many clients refused their server each time that the advice was followed.
    """

    said: list[Said] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class Book:
    """The world of one incident: a folder, a clock, a trust store, servers and simulated clients.

    It is a context manager, in which certpin's commands run in that folder with that clock.

    Attributes:
        now: the time of the servers and the clients.
        skew: by how much the clock of the machine that runs certpin is ahead of ``now``.
        crowd: the clients.
        who: the name of the person who runs the commands.
    """

    def __init__(self) -> None:
        self.now = BEGIN
        self.skew = timedelta()
        self.crowd = Crowd()
        self.record = Record()
        self.who = "anna"
        self.root = Authority("Root A", now=_ISSUED, days=_DAYS)
        self.other_root = Authority("Root B", now=_ISSUED, days=_DAYS)
        self._servers: dict[str, Server] = {}
        self._addresses: list[str] = []  # of all servers, also of those that were stopped
        self._served: dict[str, Identity] = {}
        self._names: dict[Pin, str] = {}
        self._stack = ExitStack()
        self._is_wrong_way = False

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="certpin-incident-")))
        (folder / "anna").mkdir()
        enter(chdir(folder / "anna"))
        for name, root in (("root-a.pem", self.root), ("root-b.pem", self.other_root)):
            Path(name).write_bytes(root.pem)
            self._names[root.pin] = name
        trusted = folder / "roots.pem"
        trusted.write_bytes(self.root.pem + self.other_root.pem)
        environment = {"SSL_CERT_FILE": str(trusted), "SSL_CERT_DIR": str(folder / "none")}
        enter(patch.dict(os.environ, environment))
        for name in ("CERTPIN_PINS", "CERTPIN_PASSPHRASE", "CERTPIN_DEBUG", "COLUMNS"):
            os.environ.pop(name, None)
        enter(patch("certpin.pins.utc_now", lambda: self.now + self.skew))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    # Keys, certificates and servers.

    def authority(self, name: str, above: Authority | None = None) -> Authority:
        """Return a new intermediate CA, by default below root A, and write it to ``NAME.pem``."""
        made = Authority(name, issuer=above or self.root, days=_DAYS)
        Path(f"{name}.pem").write_bytes(made.pem)
        self._names[made.pin] = f"{name}.pem"
        return made

    def key(self, name: str, issuer: Authority) -> Identity:
        """Make a server key in ``NAME.key`` and its chain in ``NAME.pem``; return both."""
        made = issuer.issue(HOST, days=_DAYS)
        made.write(Path(), name)
        self._names[made.pin] = f"{name}.key"
        return made

    def certificate(self, issuer: Authority, file: str, key: str | None = None) -> Identity:
        """Issue a server certificate, write its chain to ``file``, and return chain and key.

        Args:
            issuer: the authority that signs it.
            file: the PEM file for the chain.
            key: the file of the server's key. None makes a new key, as ACME clients do by default.
        """
        private: Any = load_pem_private_key(Path(key).read_bytes(), None) if key else None
        made = issuer.issue(HOST, key=private, days=_DAYS)
        Path(file).write_bytes(made.chain_pem)
        self._names.setdefault(made.pin, f"the key of {file}")
        return made

    def install(self, identity: Identity, *names: str) -> None:
        """Make the named servers present the chain of ``identity``; without names, all servers.

        A server starts when it first gets a chain.
        """
        for name in names or tuple(self._servers) or ("eu",):
            if name not in self._servers:
                server = self._servers[name] = Server(identity)
                server.book = self
                self._stack.enter_context(server)
                self._addresses.append(f"127.0.0.1:{server.port}")
            self._servers[name].use(identity)
            self._served[name] = identity

    # The pin file, and the way of its versions to clients.

    def pin_file(self, *pins: tuple[Pin, str], match: str = "any", extra: str = "") -> None:
        """Write version 1 of the pin file, with one host and all servers. The first pin is in use.

        Args:
            pins: each pin with its role.
            match: the certificates that a pin may match: ``leaf``, ``ca`` or ``any``.
            extra: one more line of TOML for the host.
        """
        lines = ["schema = 1", 'name = "bank"', "version = 1", "[[host]]", f'name = "{HOST}"']
        lines += [f'match = "{match}"', extra]
        for name, server in self._servers.items():
            address = f'address = "127.0.0.1:{server.port}"'
            lines += ["[[host.server]]", address, f'region = "{name}"']
        for index, (pin, role) in enumerate(pins):
            lines += ["[[host.pin]]", f'pin = "{pin}"', f'role = "{role}"']
            lines += [f'state = "{"published" if index else "active"}"']
            lines += [f'note = "key file {self._names[pin]}"']
        Path("pins.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def edit(self, *changes: tuple[str, str]) -> None:
        """Replace texts in the pin file, as an operator does by hand.

        ``changes`` has pairs of the text before, which must occur once, and the text after.
        """
        text = Path("pins.toml").read_text(encoding="utf-8")
        for before, after in changes:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        Path("pins.toml").write_text(text, encoding="utf-8")

    def listed(self, name: str) -> tuple[str, str]:
        """Return the texts for ``edit`` that add a server to the pin file, as (before, after).

        With the two texts swapped, ``edit`` removes the server.
        """
        first = "[[host.pin]]\n"
        pin = next(
            line for line in Path("pins.toml").read_text("utf-8").splitlines() if "pin =" in line
        )
        address = f'address = "127.0.0.1:{self._servers[name].port}"'
        table = f'[[host.server]]\n{address}\nregion = "{name}"\n'
        return f"{first}{pin}", f"{table}{first}{pin}"

    def stop(self, name: str) -> None:
        """Stop a server for good."""
        del self._served[name]
        self._servers.pop(name).__exit__(None, None, None)

    def fetched(self) -> None:
        """Publish the current pin file to the clients that fetch their pins."""
        self.crowd.fetch(PinSet.load("pins.toml"), self.now)

    def released(self, curve: tuple[tuple[int, float], ...]) -> None:
        """Publish the current pin file in a release of the app.

        ``curve`` has pairs of a number of days and the share of users who have updated by then.
        """
        self.crowd.install(PinSet.load("pins.toml"), self.now, curve)

    def forced(self, at: datetime) -> None:
        """Make all users of the app update to the release with the pin file at a time."""
        self.crowd.force(PinSet.load("pins.toml"), at)

    # The clock, the commands, and the clients.

    def days(self, days: float) -> None:
        """Move the book's clock forward by a number of days."""
        self.now += timedelta(days=days)

    def certpin(self, command: str, *, code: int = 0, show: bool = False) -> Said:
        """Run a certpin command line, and return it with its output.

        Args:
            command: the command line, as a user types it.
            code: the exit code that the command must have.
            show: whether the page of the incident shows the command and its output.
        """
        self.now += _MINUTE
        program, *words = shlex.split(command)
        assert program == "certpin"
        done = invoke(*words, CERTPIN_WHO=self.who)
        said = Said(command, done.out + done.err)
        assert done.code == code, f"{command}\n{said.text}"
        for path in sorted(Path().glob("*.key")):
            self._names.setdefault(resolve_key(str(path)).pin, path.name)
        if show:
            self.record.said.append(Said(self._plain(command), self._plain(said.text)))
        return said

    def follow(
        self, said: Said, beginning: str, *, end: str = "", code: int = 0, show: bool = False
    ) -> Said:
        """Run a command that an earlier command printed, and return it with its output.

        Args:
            said: the earlier command and its output.
            beginning: the first words of the printed command, after ``certpin``.
            end: words to append to the printed command; or the release of an app, for which it has
                a placeholder.
            code: the exit code that the command must have.
            show: whether the page of the incident shows the command and its output.
        """
        command = said.printed(beginning).removesuffix(" RELEASE") + end
        if not self._is_wrong_way and self._plain(command) not in self.record.followed:
            self.record.followed.append(self._plain(command))
        return self.certpin(command, code=code, show=show)

    def refusing(self) -> int:
        """Return how many clients refuse their server now."""
        return self.crowd.refusals(list(self._servers.values()), self.now)

    def damage(self, what: str, predicted: int, *, sampled: bool = False) -> None:
        """Count the clients that refuse their server, and require that ``predicted`` is right.

        ``what`` describes the mistake that did the damage.
        """
        self._compare(Damage(what, predicted, self.refusing(), self.crowd.size, sampled))

    def exposure(self, what: str, predicted: int, stolen: Identity) -> None:
        """Count the clients that accept an attacker with a stolen key; ``predicted`` must be right.

        ``what`` describes the mistake that exposed the clients.
        """
        with Server(stolen) as attacker:
            attacker.book = self
            refused = self.crowd.refusals([attacker], self.now)
        self._compare(Damage(what, predicted, self.crowd.size - refused, self.crowd.size))

    def all_connect(self) -> None:
        """Require that no client refuses its server after the advice; record the number."""
        self.record.refused.append(self.refusing())
        assert self.record.refused[-1] == 0

    @contextmanager
    def elsewhere(self, folder: str) -> Iterator[None]:
        """Work in another folder for a while, such as a clone."""
        with chdir(folder):
            yield

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Try what is inside of ``with``, then restore files, servers, clients and clock.

        It shows what would happen if the operator acted against certpin's advice.
        """
        now, crowd, served = self.now, self.crowd, dict(self._served)
        was_wrong, self._is_wrong_way = self._is_wrong_way, True
        self.crowd = crowd.copy()
        with tempfile.TemporaryDirectory() as saved:
            shutil.copytree(".", saved, dirs_exist_ok=True)
            yield
            for path in Path().iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(saved, ".", dirs_exist_ok=True)
        self.now, self.crowd, self._is_wrong_way = now, crowd, was_wrong
        for name, identity in served.items():
            self.install(identity, name)

    def _compare(self, damage: Damage) -> None:
        self.record.damages.append(damage)
        assert abs(damage.counted - damage.predicted) <= damage.tolerance, damage

    def _plain(self, text: str) -> str:
        """Return a text with names instead of the random pins and ports."""
        for pin, name in self._names.items():
            text = text.replace(str(pin), f"PIN({name})")
        for index, address in enumerate(self._addresses, 7):
            text = re.sub(rf"{HOST}:{address.partition(':')[2]}\b", f"{HOST}:443", text)
            text = text.replace(address, f"192.0.2.{index}:443")
        return text
