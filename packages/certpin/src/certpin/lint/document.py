"""The input of the rules: a pin file, as far as it can be read, and data from outside the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError
from certpin.pinfile.places import Places
from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.errors import ConfigError
    from certpin.pinfile.reader import PinSet
    from certpin.pins import HostPattern, Pin
    from certpin.x509 import Certificate

ADOPTION_DAYS = 30  # the default of --adoption-days
EXPIRES_SOON = timedelta(days=180)  # for authorities: their replacement takes long
_LONGEST_NAME = 80  # characters of a name that a finding shows
_DEAD = frozenset({"removed", "compromised"})


@dataclass(frozen=True)
class PinEntry:
    """A ``[[host.pin]]`` of the file. ``pin`` is ``None`` if it can't be read."""

    key: str
    data: Mapping[str, Any] = field(repr=False)
    pin: Pin | None
    role: str
    state: str

    @property
    def live(self) -> bool:
        """Whether clients accept a chain because of this pin."""
        return self.state not in _DEAD


@dataclass(frozen=True)
class AnchorFile:
    """A file of trust anchors. ``problem`` says why it can't be read; empty if it can."""

    key: str
    name: str
    certificates: tuple[Certificate, ...]
    problem: str = ""


@dataclass(frozen=True)
class HostEntry:
    """A ``[[host]]`` of the file.

    Values that can't be read have their defaults, and are in ``LintDocument.problems``.
    ``servers`` are the keys and tables of its ``[[host.server]]``.
    """

    key: str
    data: Mapping[str, Any] = field(repr=False)
    pattern: HostPattern | None
    pins: tuple[PinEntry, ...]
    mode: str
    match: str
    expires: datetime | None
    on_expiry: str
    trust: AnchorFile | None
    report_to: tuple[str, ...]
    servers: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @cached_property
    def live(self) -> dict[Pin, PinEntry]:
        """The entries that clients accept, by pin; of duplicates, the first."""
        found: dict[Pin, PinEntry] = {}
        for entry in self.pins:
            if entry.live and entry.pin is not None:
                found.setdefault(entry.pin, entry)
        return found

    @property
    def unreadable(self) -> int:
        """The number of live entries with a pin that can't be read."""
        return sum(entry.pin is None and entry.live for entry in self.pins)

    def __str__(self) -> str:
        if self.pattern is not None:
            return str(self.pattern)
        name = str(self.data.get("name", self.key))
        return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


@dataclass(frozen=True)
class LiveResult:
    """The answer of one server of a host, seen from this machine.

    ``pattern`` is that of the host's policy. ``path`` is the verified chain, leaf first. If it is
    ``None``, ``problem`` says why the served chain did not verify, and ``fix`` what to do; or
    ``error`` says why there was no answer.
    """

    pattern: str
    host: str
    served: tuple[Certificate, ...] = ()
    path: tuple[Certificate, ...] | None = None
    problem: str = ""
    error: str = ""
    fix: str = ""

    @cached_property
    def path_pins(self) -> dict[Pin, Certificate]:
        """Both pins of each certificate on the verified path."""
        return {pin: each for each in self.path or () for pin in pins_of(each)}

    @cached_property
    def served_pins(self) -> dict[Pin, Certificate]:
        """Both pins of each certificate that was sent or is on the verified path."""
        return {pin: each for each in self.served for pin in pins_of(each)} | self.path_pins


@dataclass(frozen=True)
class ExportedFile:
    """An exported file, compared with the output of an export now.

    ``problem`` says why it can't be compared. ``differences`` are phrases that say how clients
    with this file behave differently.
    """

    format: str
    path: str
    problem: str = ""
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class LintDocument:
    """A pin file that is valid TOML, with all of its mistakes.

    ``problems`` are mistakes that were found independently of each other. ``refusal`` is the error
    of ``PinSet.parse`` if there are none. ``pins`` is the pin set if clients load the file.
    ``live`` is ``None`` if no server was asked, and ``exported`` if no exported file was given.
    """

    path: str
    text: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    hosts: tuple[HostEntry, ...] = ()
    debug: AnchorFile | None = None
    problems: tuple[ConfigError, ...] = ()
    refusal: ConfigError | None = None
    pins: PinSet | None = None
    live: tuple[LiveResult, ...] | None = None
    exported: tuple[ExportedFile, ...] | None = None
    adoption_days: int = ADOPTION_DAYS

    @cached_property
    def places(self) -> Places:
        """The lines of keys and comments."""
        return Places(self.text)

    @cached_property
    def by_key(self) -> dict[str, HostEntry]:
        """The hosts by their keys, such as ``host[2]``."""
        return {host.key: host for host in self.hosts}

    @cached_property
    def by_pattern(self) -> dict[str, HostEntry]:
        """The hosts by their patterns; of duplicates, the first."""
        found: dict[str, HostEntry] = {}
        for host in self.hosts:
            if host.pattern is not None:
                found.setdefault(str(host.pattern), host)
        return found

    def line(self, key: str) -> int:
        """Return the line of a key, else of the table that it belongs to, else 1."""
        return self.places.line(key) or 1

    def covering(self, name: str) -> Iterator[HostEntry]:
        """Yield the policies that cover a normalised host name, the most specific first.

        The work grows with the labels of the name, and not with the number of hosts.
        """
        _, _, parent = name.partition(".")
        candidates = [name, f"*.{parent}", f"**.{name}"]
        while parent:
            candidates.append(f"**.{parent}")
            _, _, parent = parent.partition(".")
        found = (self.by_pattern.get(each) for each in candidates)
        return (host for host in found if host is not None)

    def live_results(self) -> Iterator[tuple[HostEntry, LiveResult]]:
        """Yield every server that was contacted, with its policy."""
        for result in self.live or ():
            if host := self.by_pattern.get(result.pattern):
                yield host, result

    def verified_results(self) -> Iterator[tuple[HostEntry, LiveResult]]:
        """Yield every server that presented a chain that verified, with its policy."""
        return ((host, result) for host, result in self.live_results() if result.path)

    def anchor_files(self) -> Iterator[AnchorFile]:
        """Yield every file of trust anchors once, with the first key that names it."""
        seen = set[str]()
        for file in (self.debug, *(host.trust for host in self.hosts)):
            if file is not None and file.name not in seen:
                seen.add(file.name)
                yield file


def validity(certificate: Certificate) -> tuple[datetime, datetime] | None:
    """Return the first and last valid moment of a certificate; ``None`` if they can't be read."""
    try:
        return certificate.not_before, certificate.not_after
    except CertificateParseError:
        return None
