"""What the rules judge: a pin file as far as it can be read, and what is known beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.pinfile.places import Places
from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from certpin.errors import ConfigError
    from certpin.pinfile.file import PinSet
    from certpin.pins import HostPattern, Pin
    from certpin.x509 import Certificate

ADOPTION_DAYS = 30
_LONGEST = 80  # characters of a name that is shown
_DEAD = frozenset({"removed", "compromised"})


@dataclass(frozen=True)
class Entry:
    """A pin of the file. ``pin`` is ``None`` where it cannot be read."""

    key: str
    data: Mapping[str, Any] = field(repr=False)
    pin: Pin | None
    role: str
    state: str

    @property
    def live(self) -> bool:
        """Whether a match with it would accept."""
        return self.state not in _DEAD


@dataclass(frozen=True)
class AnchorFile:
    """A file of trust anchors that the pin file names; ``problem`` says why it cannot be read."""

    key: str
    name: str
    certificates: tuple[Certificate, ...]
    problem: str = ""


@dataclass(frozen=True)
class Host:
    """A policy of the file. What cannot be read has its default, and is a problem elsewhere."""

    key: str
    data: Mapping[str, Any] = field(repr=False)
    pattern: HostPattern | None
    pins: tuple[Entry, ...]
    mode: str
    match: str
    expires: datetime | None
    on_expiry: str
    trust: AnchorFile | None
    report_to: tuple[str, ...]
    servers: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # their keys and tables

    @cached_property
    def live(self) -> dict[Pin, Entry]:
        """The pins that would accept, each once."""
        found: dict[Pin, Entry] = {}
        for entry in self.pins:
            if entry.live and entry.pin is not None:
                found.setdefault(entry.pin, entry)
        return found

    @property
    def unread(self) -> int:
        """How many live pins cannot be read."""
        return sum(entry.pin is None and entry.live for entry in self.pins)

    def __str__(self) -> str:
        if self.pattern is not None:
            return str(self.pattern)
        name = str(self.data.get("name", self.key))
        return name if len(name) <= _LONGEST else name[:_LONGEST] + "…"


@dataclass(frozen=True)
class Asked:
    """What a host presented when it was asked, from one machine. ``pattern`` is its policy's.

    ``path`` is the verified chain, leaf first, or ``None``; then ``problem`` says why it did not
    verify, and ``fix`` what to do. ``error`` says why the host did not answer.
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
        """Both pins of each certificate of the verified path."""
        return {pin: each for each in self.path or () for pin in pins_of(each)}

    @cached_property
    def served_pins(self) -> dict[Pin, Certificate]:
        """Both pins of each certificate that was sent or is on the verified path."""
        return {pin: each for each in self.served for pin in pins_of(each)} | self.path_pins


@dataclass(frozen=True)
class ExportedFile:
    """An exported file beside what an export would write now.

    ``problem`` says why it cannot be compared; ``differences`` are words for clients' meanings.
    """

    format: str
    path: str
    problem: str = ""
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A pin file that is TOML, with all that is wrong in it.

    ``problems`` are its mistakes, each found for itself; ``refusal`` is what ``PinSet.parse``
    says where there is none. ``live`` is ``None`` if nobody was asked.
    """

    path: str
    text: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    hosts: tuple[Host, ...] = ()
    debug: AnchorFile | None = None
    problems: tuple[ConfigError, ...] = ()
    refusal: ConfigError | None = None
    pins: PinSet | None = None
    live: tuple[Asked, ...] | None = None
    exported: tuple[ExportedFile, ...] | None = None
    adoption_days: int = ADOPTION_DAYS

    @cached_property
    def places(self) -> Places:
        """Where keys and comments stand."""
        return Places(self.text)

    @cached_property
    def by_key(self) -> dict[str, Host]:
        """The hosts by their keys, such as ``host[2]``."""
        return {host.key: host for host in self.hosts}

    @cached_property
    def by_pattern(self) -> dict[str, Host]:
        """The hosts by their patterns; of two that are the same, the first."""
        found: dict[str, Host] = {}
        for host in self.hosts:
            if host.pattern is not None:
                found.setdefault(str(host.pattern), host)
        return found

    def line(self, key: str) -> int:
        """The line of a key, or of the table it belongs to; the first where there is none."""
        return self.places.line(key) or 1

    def covering(self, name: str) -> Iterator[Host]:
        """The policies that cover a normalised host, the most specific first.

        One look-up a label, however many hosts there are.
        """
        _, _, parent = name.partition(".")
        candidates = [name, f"*.{parent}", f"**.{name}"]
        while parent:
            candidates.append(f"**.{parent}")
            _, _, parent = parent.partition(".")
        found = (self.by_pattern.get(each) for each in candidates)
        return (host for host in found if host is not None)

    def asked(self) -> Iterator[tuple[Host, Asked]]:
        """Every host that was asked, with its policy."""
        for each in self.live or ():
            if host := self.by_pattern.get(each.pattern):
                yield host, each

    def verified(self) -> Iterator[tuple[Host, Asked]]:
        """Every host that was asked, and presented a chain that verified."""
        return ((host, each) for host, each in self.asked() if each.path)

    def anchor_files(self) -> Iterator[AnchorFile]:
        """Every file of trust anchors, each at the first place that names it."""
        seen = set[str]()
        for file in (self.debug, *(host.trust for host in self.hosts)):
            if file is not None and file.name not in seen:
                seen.add(file.name)
                yield file
