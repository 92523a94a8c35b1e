"""A format: what a platform is given, and what is read back from it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, FormatError
from certpin.formats.fit import Loss, fit
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.formats.fit import Limit
    from certpin.pins import Match, Mode, OnExpiry, Pin, Role, TrustAnchors

# Far more than any list of pins has: a browser's built-in one has less than 1 MiB.
MAX_SOURCE_BYTES = 16 * 1024 * 1024


class FormatWarning(UserWarning):
    """Something in a platform's file that certpin cannot say, and that is passed over."""


def pass_over(what: str) -> None:
    """Tell that something of a file does not come along, where nobody is locked out by that."""
    warnings.warn(f"not imported: {what}", FormatWarning, stacklevel=2)


# A name in reverse, as the Java Language Specification has it (section 6.1).
_PACKAGE = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*", re.ASCII)

# The unreserved letters of RFC 3986, and what stands between the parts of an address.
_PLAIN_ADDRESS = re.compile(r"https://[A-Za-z0-9.:/_~%\[\]-]+/")


@dataclass(frozen=True)
class File:
    """A file of an export. ``path`` is relative to where the export goes."""

    path: str
    text: str


@dataclass(frozen=True)
class SignedSource:
    """Where an app follows signed sets, and the root that it brings: the bytes of a ``root.json``.

    Raises ``ConfigError`` on an address that would have to be escaped in source code.
    """

    url: str
    root: bytes

    def __post_init__(self) -> None:
        if not _PLAIN_ADDRESS.fullmatch(self.url):
            raise ConfigError(
                "the address has letters that do not belong into source code",
                key="--signed-url",
                fix="write it as https://pins.bank.example/app/",
            )


@dataclass(frozen=True)
class Source:
    """A file that is imported. ``beside`` reads another one, by a path relative to it.

    Raises ``FormatError`` where that one is not there.
    """

    data: bytes
    beside: Callable[[str], bytes] = field(repr=False)

    @property
    def text(self) -> str:
        """The file as text. Raises ``FormatError`` unless it is UTF-8."""
        try:
            return self.data.decode().removeprefix("\N{BOM}")
        except UnicodeDecodeError as exc:
            raise FormatError("it is not UTF-8 text", fix="save it as UTF-8") from exc


@dataclass(frozen=True)
class Found:
    """What a file of a platform says of one host.

    ``pattern`` is empty if the file names no host: the user then names it (``--host``).
    """

    pattern: str
    pins: tuple[Pin, ...]
    mode: Mode = "enforce"
    match: Match = "any"
    expires: datetime | None = None
    on_expiry: OnExpiry = "fail-closed"
    trust: TrustAnchors | None = None
    report_to: tuple[str, ...] = ()
    compromised: tuple[Pin, ...] = ()
    entries: tuple[HostPin, ...] = ()  # the pins with all that is said of them, where it is

    def policy(self, wishes: Wishes) -> HostPolicy:
        """The policy. Raises ``ConfigError`` and ``HostError``."""
        pattern = self.pattern or wishes.host
        if not pattern:
            raise ConfigError("the file names no host", key="host", fix="name it: --host HOST")
        return HostPolicy(
            HostPattern.parse(pattern),
            self.entries or self._guessed(),
            mode=wishes.mode or self.mode,
            match=self.match,
            expires=self.expires,
            on_expiry=self.on_expiry,
            trust=self.trust,
            report_to=self.report_to,
        )

    def _guessed(self) -> tuple[HostPin, ...]:
        """The pins with roles that are a guess: most platforms don't say which pin is whose."""
        first: Role = "intermediate" if self.match == "ca" else "leaf"
        pins = dict.fromkeys(self.pins)  # a list may name one twice
        live = tuple(HostPin(pin, "backup" if index else first) for index, pin in enumerate(pins))
        return live + tuple(HostPin(pin, state="compromised") for pin in self.compromised)


@dataclass(frozen=True)
class Wishes:
    """What the user says beside the file, for what the file does not say."""

    name: str = ""
    host: str = ""
    mode: Mode | None = None


@dataclass(frozen=True)
class Reading:
    """What a file of a platform says. ``name`` and ``version`` are there where certpin wrote it."""

    hosts: tuple[Found, ...]
    name: str = ""
    version: int = 1
    debug: TrustAnchors | None = None

    def pin_set(self, wishes: Wishes) -> PinSet:
        """The pin set. Raises ``ConfigError`` where it is none that anybody should use."""
        policies = tuple(found.policy(wishes) for found in self.hosts)
        if not policies:
            raise FormatError("there is no pin in it", fix="check that it is the right file")
        name = wishes.name or self.name or policies[0].pattern.name
        return PinSet(name, self.version, policies, self.debug)


@dataclass(frozen=True)
class Export:
    """The files for a platform, the pin set as it will have it, and all that it won't have."""

    files: tuple[File, ...]
    pins: PinSet
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Format:
    """One platform's way to hold pins.

    ``write`` and ``read`` are each other's inverse for every pin set that the limits let through.
    ``write`` needs no check of its own, and ``read`` raises ``FormatError`` on what is not such a
    file. ``files`` names what is written: one file, or more that go into one folder.
    """

    name: str
    title: str
    use: str  # what to do with the file, a sentence
    file: str
    limits: tuple[Limit, ...]
    write: Callable[[PinSet], tuple[File, ...]]
    read: Callable[[Source], Reading]
    needs: tuple[str, ...] = ()  # what must hold for the pins to hold, sentences
    folder: bool = False  # whether there may be more files than one
    package: str = ""  # the line that puts source code into a package, "package {}", if any does
    signed: Callable[[PinSet, SignedSource], tuple[File, ...]] | None = None  # to follow them

    def export(self, pins: PinSet, package: str = "", signed: SignedSource | None = None) -> Export:
        """Write a pin set for this platform, source code into a package of this name.

        Apps then follow the sets that are ``signed``. Raises ``ConfigError`` where that is unsafe,
        or where the platform knows no packages, or no signed sets.
        """
        fitted, losses = fit(pins, self.limits)
        files = self.write(fitted)
        if signed:
            files += self._following(fitted, signed)
        if package:
            files = tuple(self._packed(file, package) for file in files)
        return Export(files, fitted, losses)

    def _following(self, pins: PinSet, signed: SignedSource) -> tuple[File, ...]:
        if self.signed is None:
            raise ConfigError(
                f"what {self.name} is exported for does not follow signed sets",
                key="--signed-root",
                fix="leave it out; apps in Flutter and in Python follow them",
            )
        return self.signed(pins, signed)

    def _packed(self, file: File, package: str) -> File:
        if not self.package or not _PACKAGE.fullmatch(package):
            raise ConfigError(
                f"{package!r} is no package for {self.name}",
                key="--package",
                fix="packages are for Java and Kotlin: com.bank.app",
            )
        line = self.package.format(package)
        return replace(file, text=file.text.replace("\nimport ", f"\n{line}\n\nimport ", 1))

    def load(self, source: Source, wishes: Wishes | None = None) -> PinSet:
        """Read a file of this platform. Raises ``FormatError`` and ``ConfigError``."""
        if len(source.data) > MAX_SOURCE_BYTES:
            raise FormatError(f"it has more than {MAX_SOURCE_BYTES} bytes: no list of pins")
        return self.read(source).pin_set(wishes or Wishes())


def only(pins: PinSet, patterns: Iterable[str]) -> PinSet:
    """The pin set with these policies alone; with all where none is named.

    Raises ``ConfigError`` where there is no such policy.
    """
    wanted = {str(HostPattern.parse(pattern)) for pattern in patterns}
    if missing := wanted - {str(policy.pattern) for policy in pins.policies}:
        raise ConfigError(
            f"there is no policy of the name {min(missing)}",
            key="host",
            fix="write it as it stands in the pin file",
        )
    kept = [policy for policy in pins.policies if not wanted or str(policy.pattern) in wanted]
    return replace(pins, policies=tuple(kept))
