"""The input of the lint rules: a pin file, parsed as far as possible, and related data.

The related data are the chains of servers, exported files and facts about public roots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError
from certpin.pinfile.places import Places
from certpin.pins import HostPin, pins_of
from certpin.pins.hosts import covering_patterns
from certpin.pins.policy import DEAD_STATES, UNUSABLE_STATES, share_provider
from certpin.roots import RootData, load_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.errors import ConfigError
    from certpin.pinfile import PinSet
    from certpin.pins import HostPattern, Pin
    from certpin.x509 import Certificate
    from certpin.x509.log_list import LogList

ADOPTION_DAYS = 30  # the default of --adoption-days
EXPIRES_SOON = timedelta(days=180)  # for authorities: their replacement takes long
_LONGEST_NAME = 80  # characters of a name that a finding shows


@dataclass(frozen=True)
class PinEntry:
    """A table ``[[host.pin]]`` of the pin file.

    ``key`` is the full TOML key of the table, such as ``host[0].pin[1]``, and ``data`` its content.
    ``pin`` is ``None`` if the pin can't be parsed. The other attributes have the values of the TOML
    keys of the same name.
    """

    key: str
    data: Mapping[str, Any] = field(repr=False)
    pin: Pin | None
    role: str
    state: str
    provider: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """True if clients accept chains that match this pin, according to the state of the pin."""
        return self.state not in DEAD_STATES

    @property
    def usable(self) -> bool:
        """True if a server can use the pinned key: clients accept the key, and it is not lost."""
        return self.state not in UNUSABLE_STATES


@dataclass(frozen=True)
class AnchorFile:
    """A file of trust anchors that the pin file names.

    Attributes:
        key: the TOML key with the name of the file as its value, such as ``debug.anchors``.
        name: the name of the file, as the pin file contains it.
        certificates: the certificates in the file; empty if it can't be read.
        problem: the reason why the file can't be read; empty if it can.
    """

    key: str
    name: str
    certificates: tuple[Certificate, ...]
    problem: str = ""


@dataclass(frozen=True)
class HostEntry:
    """A table ``[[host]]`` of the pin file.

    A value that can't be parsed is replaced by its default, and its error is in
    ``LintDocument.problems``. Attributes that aren't listed here have the values of the TOML keys
    of the same name.

    Attributes:
        key: the full TOML key of the table, such as ``host[2]``.
        data: the content of the table.
        pattern: the host pattern; None if it can't be parsed.
        pins: the tables ``[[host.pin]]`` of the host.
        servers: the TOML key and the content of each table ``[[host.server]]``.
        require_ct: True if clients require Certificate Transparency of this host.
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
    require_ct: bool = False
    provider_edition: date | None = None

    def is_expired(self, now: datetime) -> bool:
        """Return True if the pins have expired at the time ``now``.

        Return False if the pins have no expiry time, or one without a time zone: another rule
        reports that.
        """
        return bool(self.expires and self.expires.tzinfo and self.expires <= now)

    @property
    def host_pins(self) -> tuple[HostPin, ...]:
        """The host's pins as ``HostPin`` objects, to compare them with the roots of providers.

        Each object has only the pin, the names of its certificate providers, and a state:
        ``active`` if clients accept the pin, otherwise ``removed``. Pins that can't be parsed are
        left out.
        """
        return tuple(
            HostPin(entry.pin, provider=entry.provider, state="active" if entry.live else "removed")
            for entry in self.pins
            if entry.pin is not None
        )

    @cached_property
    def live(self) -> dict[Pin, PinEntry]:
        """The pins that clients of this host accept, each with its table in the file.

        If a pin is listed twice, its first table counts.
        """
        found: dict[Pin, PinEntry] = {}
        for entry in self.pins:
            if entry.live and entry.pin is not None:
                found.setdefault(entry.pin, entry)
        return found

    @property
    def usable(self) -> dict[Pin, PinEntry]:
        """The pins of ``live``, except those of lost keys, each with its table in the file.

        A server of the host can use one of their keys.
        """
        return {pin: entry for pin, entry in self.live.items() if entry.usable}

    @property
    def is_own_backup(self) -> bool:
        """True if at least two of the host's pins are roots of the same certificate provider.

        Such a host needs no other backup, because the provider can issue from either root. Only
        pins count that clients accept and that have a key that is not lost.
        """
        return share_provider(entry.provider for entry in self.usable.values())

    def place(self, result: LiveResult) -> str:
        """Return the TOML key at which to report a mistake about one of the host's servers.

        ``result`` is the chain or error of the server. The key is that of the server's table, such
        as ``host[2].server[0]``. If the pin file doesn't list the server, it is the key of the
        host's name, such as ``host[2].name``.
        """
        return f"{self.key}.name" if result.server is None else self.servers[result.server][0]

    @property
    def unreadable(self) -> int:
        """The number of this host's pins that can't be parsed, although clients should accept them.

        Pins with the state ``removed`` or ``compromised`` are not counted.
        """
        return sum(entry.pin is None and entry.live for entry in self.pins)

    def __str__(self) -> str:
        if self.pattern is not None:
            return str(self.pattern)
        name = str(self.data.get("name", self.key))
        return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


@dataclass(frozen=True)
class LiveResult:
    """The chain that one server of a host presented to this machine, or the error.

    If a chain was received but did not verify, ``path`` is ``None``, and ``problem`` is the reason.
    If no chain was received, ``error`` is the reason.

    Attributes:
        pattern: the pattern of the host's policy.
        host: the server's name for messages: the host, with its port, region and IP address if
            needed.
        served: the certificates that the server sent.
        path: the verified chain, leaf first, or ``None``.
        problem: the reason why the chain did not verify; else empty.
        error: the reason why no chain was received; else empty.
        fix: the recommended change for ``problem`` or ``error``; of a verified chain, the one that
            makes a pin match it. Empty if the fix of the rule applies.
        server: the index of the server among the host's ``[[host.server]]`` tables; ``None`` if it
            is not listed there.
        insecure: True if ``error`` says that STARTTLS failed in a way that an attacker can cause
            (``StartTLSError.insecure``).
    """

    pattern: str
    host: str
    served: tuple[Certificate, ...] = ()
    path: tuple[Certificate, ...] | None = None
    problem: str = ""
    error: str = ""
    fix: str = ""
    server: int | None = None
    insecure: bool = False

    @cached_property
    def path_pins(self) -> dict[Pin, Certificate]:
        """The two pins of each certificate of the verified chain, each with its certificate.

        The two pins are that of the key, and that of the whole certificate.
        """
        return {pin: each for each in self.path or () for pin in pins_of(each)}

    @cached_property
    def served_pins(self) -> dict[Pin, Certificate]:
        """The two pins of each certificate that was sent, or is in the verified chain.

        Each pin has its certificate. The two pins are that of the key, and that of the whole
        certificate. A server often doesn't send the root, which is the last certificate of the
        verified chain.
        """
        return {pin: each for each in self.served for pin in pins_of(each)} | self.path_pins


@dataclass(frozen=True)
class ExportedFile:
    """A file that certpin exported earlier, and its differences from a new export of the pin set.

    Attributes:
        format: the name of the format, such as ``android``.
        path: the path of the file.
        problem: the reason why the file can't be compared; empty if it can.
        differences: phrases that say how clients with this file behave differently from clients
            with a new export; empty if they don't.
    """

    format: str
    path: str
    problem: str = ""
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class LintDocument:
    """A pin file that is valid TOML, parsed in spite of its mistakes.

    Attributes:
        path: the path of the pin file.
        text: the content of the pin file.
        data: the content as TOML tables.
        hosts: the tables ``[[host]]``.
        debug: the file of trust anchors in the debug section; None if there is none.
        problems: an error for each value that can't be parsed.
        refusal: if ``problems`` is empty, the error with which ``PinSet.parse`` refuses the file;
            None if it accepts the file.
        pins: the pin set; None if clients can't load the file.
        ct_logs: the list of Certificate Transparency logs that the file names; None if it names
            none, or the list can't be read.
        live: the chains that servers presented; None if no server was contacted.
        exported: the exported files to compare; None if none was given.
        adoption_days: the number of days that clients need to adopt a new pin set.
        roots: the facts about public roots in this release of certpin.
    """

    path: str
    text: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    hosts: tuple[HostEntry, ...] = ()
    debug: AnchorFile | None = None
    problems: tuple[ConfigError, ...] = ()
    refusal: ConfigError | None = None
    pins: PinSet | None = None
    ct_logs: LogList | None = None
    live: tuple[LiveResult, ...] | None = None
    exported: tuple[ExportedFile, ...] | None = None
    adoption_days: int = ADOPTION_DAYS
    roots: RootData = field(default_factory=load_data, repr=False, compare=False)

    @cached_property
    def places(self) -> Places:
        """The positions in the pin file: the line number of each TOML key, and the comments."""
        return Places(self.text)

    @cached_property
    def by_key(self) -> dict[str, HostEntry]:
        """The hosts, by the TOML keys of their tables, such as ``host[2]``."""
        return {host.key: host for host in self.hosts}

    @cached_property
    def by_pattern(self) -> dict[str, HostEntry]:
        """The hosts by their patterns. If two have the same pattern, the first is used."""
        found: dict[str, HostEntry] = {}
        for host in self.hosts:
            if host.pattern is not None:
                found.setdefault(str(host.pattern), host)
        return found

    def line(self, key: str) -> int:
        """Return the line number of a key such as ``host[2].expires`` in the pin file.

        If the key is missing, return the line of the table that would contain it, or else 1.
        """
        return self.places.line(key) or 1

    def covering(self, name: str) -> Iterator[HostEntry]:
        """Yield the hosts whose patterns cover a normalised host name, the most specific first.

        The run time depends on the number of labels in the name, and not on the number of hosts.
        """
        found = (self.by_pattern.get(each) for each in covering_patterns(name))
        return (host for host in found if host is not None)

    def live_results(self) -> Iterator[tuple[HostEntry, LiveResult]]:
        """Yield the chain or error of each contacted server, with its host in the pin file.

        Yield nothing if no server was contacted. A server of a host that isn't in the file is left
        out.
        """
        for result in self.live or ():
            if host := self.by_pattern.get(result.pattern):
                yield host, result

    def verified_results(self) -> Iterator[tuple[HostEntry, LiveResult]]:
        """Yield each result of ``live_results`` that has a verified chain."""
        return ((host, result) for host, result in self.live_results() if result.path)

    def anchor_files(self) -> Iterator[AnchorFile]:
        """Yield each file of trust anchors once, with the first TOML key that names it.

        A file that can't be read is yielded, too, with its ``problem``.
        """
        seen = set[str]()
        for file in (self.debug, *(host.trust for host in self.hosts)):
            if file is not None and file.name not in seen:
                seen.add(file.name)
                yield file


def validity(certificate: Certificate) -> tuple[datetime, datetime] | None:
    """Return the times from which and until which a certificate is valid.

    Return ``None`` if they can't be parsed.
    """
    try:
        return certificate.not_before, certificate.not_after
    except CertificateParseError:
        return None
