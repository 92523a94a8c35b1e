"""The model of a format: exported files, parsed files, and conversion from and to a pin set."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import ConfigError, FormatError
from certpin.formats.limits import AnchorsOnly, LeafOrAnchors, with_anchors
from certpin.formats.projection import Omission, project
from certpin.formats.shape import pem, pins_from, read_anchors, read_timestamp, timestamp
from certpin.pins import HostPattern, HostPin, HostPolicy, Match, Mode, OnExpiry, PinSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date, datetime

    from certpin.formats.projection import Limitation
    from certpin.pins import Pin, Role, State, TrustAnchors
    from certpin.x509 import Certificate
    from certpin.x509.log_list import LogList

# Far larger than any real pin list: the list that is built into a browser is below 1 MiB.
MAX_SOURCE_BYTES = 16 * 1024 * 1024


class FormatWarning(UserWarning):
    """Warning: an import skipped a setting, because a pin file cannot express it."""


def pass_over(what: str) -> None:
    """Warn that an import skips ``what``, a setting whose loss can't lock clients out."""
    warnings.warn(f"not imported: {what}", FormatWarning, stacklevel=2)


# A package name: a reversed domain name (Java Language Specification, section 6.1).
_PACKAGE = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*", re.ASCII)

# The unreserved characters of RFC 3986, and the separators between the parts of a URL.
_PLAIN_ADDRESS = re.compile(r"https://[A-Za-z0-9.:/_~%\[\]-]+/")


@dataclass(frozen=True)
class File:
    """An exported file. ``path`` is relative to the output folder."""

    path: str
    text: str


@dataclass(frozen=True)
class SignedSource:
    """The URL from which an app updates its pins, and the trusted root that the app contains.

    ``root`` is the content of a ``root.json``.

    Raises:
        ConfigError: the URL would need escapes in source code.
    """

    url: str
    root: bytes

    def __post_init__(self) -> None:
        if not _PLAIN_ADDRESS.fullmatch(self.url):
            raise ConfigError(
                "the URL has characters that need escapes in source code",
                key="--signed-url",
                fix="write it as https://pins.bank.example/app/",
            )


@dataclass(frozen=True)
class AuthorityFile:
    """The certificates in a file, such as a bundle of roots, and the name of the file."""

    name: str
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True)
class Source:
    """A file to import.

    ``beside`` reads another file by its path relative to this one, and raises ``FormatError`` if
    that file does not exist.
    """

    data: bytes
    beside: Callable[[str], bytes] = field(repr=False)

    @property
    def text(self) -> str:
        """The content as text. Raises ``FormatError`` if it is not UTF-8."""
        try:
            return self.data.decode().removeprefix("\N{BOM}")
        except UnicodeDecodeError as exc:
            raise FormatError("the file is not UTF-8 text", fix="save it as UTF-8") from exc


@dataclass(frozen=True)
class Found:
    """The pinning settings of one host, as read from a platform's file.

    Attributes:
        pattern: the host pattern; empty if the file names no host. Then the user has to name it
            (``--host``).
        compromised: the pins of keys that clients have to refuse.
        ct_logs: the Certificate Transparency logs that the host requires; ``None`` for no
            requirement.
        entries: the pins with roles, states and notes; empty if the file has none of these.
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
    ct_logs: LogList | None = None
    entries: tuple[HostPin, ...] = ()  # pins with role, state and note, if the file has them
    provider_edition: date | None = None

    def policy(self, options: ImportOptions) -> HostPolicy:
        """Return the host's policy, with the user's options for settings that the file lacks.

        Raises ``ConfigError`` and ``HostError`` if the policy is invalid.
        """
        pattern = self.pattern or options.host
        if not pattern:
            raise ConfigError("the file names no host", key="host", fix="name it: --host HOST")
        return HostPolicy(
            HostPattern.parse(pattern),
            self.entries or self._guessed(),
            mode=options.mode or self.mode,
            match=self.match,
            expires=self.expires,
            on_expiry=self.on_expiry,
            trust=self.trust,
            report_to=self.report_to,
            ct_logs=self.ct_logs,
            provider_edition=self.provider_edition,
        )

    def _guessed(self) -> tuple[HostPin, ...]:
        """Return the pins with guessed roles and states, because most platforms record none.

        The first pin is taken for that of the key in use, and the others for backups.
        """
        first: Role = "intermediate" if self.match == "ca" else "leaf"
        pins = dict.fromkeys(self.pins)  # a list may contain duplicates
        roles: list[Role] = ["backup" if index else first for index in range(len(pins))]
        live = tuple(
            HostPin(pin, role, imported_state(role)) for pin, role in zip(pins, roles, strict=True)
        )
        return live + tuple(HostPin(pin, state="compromised") for pin in self.compromised)


def imported_state(role: Role) -> State:
    """Return the state of an imported pin, which clients already accept, by its role.

    It is PUBLISHED for a backup, whose key no server uses, and ACTIVE otherwise.
    """
    return "published" if role == "backup" else "active"


@dataclass(frozen=True)
class ImportOptions:
    """The user's values for settings that the imported file lacks."""

    name: str = ""
    host: str = ""
    mode: Mode | None = None


@dataclass(frozen=True)
class ParsedFile:
    """The settings in a platform's file.

    ``name`` and ``version`` are those of the exported pin set if certpin wrote the file.
    """

    hosts: tuple[Found, ...]
    name: str = ""
    version: int = 1
    debug: TrustAnchors | None = None

    def pin_set(self, options: ImportOptions) -> PinSet:
        """Return the pin set that the file describes. ``options`` has what the file lacks.

        Raises ``ConfigError`` if the pin set is unsafe, and ``FormatError`` if the file has no
        pins.
        """
        policies = tuple(found.policy(options) for found in self.hosts)
        if not policies:
            raise FormatError("the file contains no pins", fix="check that it is the right file")
        name = options.name or self.name or policies[0].pattern.name
        return PinSet(name, self.version, policies, self.debug)


# A policy by the names of its settings, which are the same in JSON and in all source code.
Row = dict[str, list[str]]

LISTS = frozenset({"pins", "compromised", "reportTo"})  # every other field has one value


def row(policy: HostPolicy) -> Row:
    """Return a policy's settings as texts: the values of each setting that isn't empty, by name.

    Exported JSON and source code have them in this form.
    """
    made: Row = {
        "pattern": [str(policy.pattern)],
        "mode": [policy.mode],
        "match": [policy.match],
        "pins": [str(pin) for pin in policy.live_pins],
        "compromised": [str(each.pin) for each in policy.pins if each.state == "compromised"],
        "expires": [timestamp(policy.expires)] if policy.expires else [],
        "onExpiry": [policy.on_expiry] if policy.expires else [],
        "trust": [pem(policy.trust)] if policy.trust else [],
        "reportTo": list(policy.report_to),
    }
    return {name: values for name, values in made.items() if values}


def found(fields: Row, entries: tuple[HostPin, ...] = ()) -> Found:
    """Return the settings of a host from exported source code or JSON.

    Args:
        fields: the values of each setting, by its name.
        entries: the pins with roles, states and notes, if the format has them.

    Raises:
        FormatError: a field has an invalid value.
    """
    return Found(
        pattern=_one(fields, "pattern", ""),
        pins=pins_from(fields.get("pins", [])),
        mode=choice(fields, "mode", get_args(Mode), "enforce"),
        match=choice(fields, "match", get_args(Match), "any"),
        expires=read_timestamp(fields["expires"][0]) if fields.get("expires") else None,
        on_expiry=choice(fields, "onExpiry", get_args(OnExpiry), "fail-closed"),
        trust=read_anchors(fields["trust"][0].encode()) if fields.get("trust") else None,
        report_to=tuple(fields.get("reportTo", [])),
        compromised=pins_from(fields.get("compromised", [])),
        entries=entries,
    )


def _one(fields: Row, name: str, default: str) -> str:
    values = fields.get(name) or [default]
    return values[0]


def choice(fields: Row, name: str, choices: tuple[Any, ...], default: str) -> Any:
    """Return a policy setting from ``fields``, or ``default`` if it is missing.

    Raises ``FormatError`` if the value is not in ``choices``.
    """
    value = _one(fields, name, default)
    if value not in choices:
        raise FormatError(
            f"{value[:40]!r} is not a valid {name}", fix=f"one of {', '.join(choices)}"
        )
    return value


@dataclass(frozen=True)
class Export:
    """The result of an export: the files, the reduced pin set in them, and the omitted settings."""

    files: tuple[File, ...]
    pins: PinSet
    omissions: tuple[Omission, ...]


@dataclass(frozen=True)
class Format:
    """An export format: how to write a pin set for a platform, and how to read it back.

    ``read`` inverts ``write`` for every pin set that ``project`` returns for ``limits``. ``write``
    checks nothing itself, and ``read`` raises ``FormatError`` if the file is not of this format.
    ``file`` is the name of the exported file, or of the main file in a folder. ``limits`` are the
    settings that the platform can't express.
    """

    name: str
    title: str
    use: str  # how to use the file, a sentence
    file: str
    limits: tuple[Limitation, ...]
    write: Callable[[PinSet], tuple[File, ...]]
    read: Callable[[Source], ParsedFile]
    needs: tuple[str, ...] = ()  # what the pins rely on at run time, sentences
    folder: bool = False  # whether the export can be several files
    package: str = ""  # the package declaration of source code, such as "package {}"
    signed: Callable[[PinSet, SignedSource], tuple[File, ...]] | None = (
        None  # more files, for updates
    )
    vendored: Callable[[tuple[File, ...]], tuple[File, ...]] | None = (
        None  # the files, with a copy of the library that they import
    )
    vendored_use: str = ""  # how to use these, a sentence

    @property
    def root_sets(self) -> str:
        """A sentence for the user: whether this platform can enforce a set of pinned roots."""
        refused = next((limit.root_sets for limit in self.limits if limit.root_sets), "")
        return refused or (
            "A root set works: the whole verified chain is compared. "
            "No trust store may contain an intermediate, because the chain could then end there."
        )

    def export(
        self,
        pins: PinSet,
        package: str = "",
        signed: SignedSource | None = None,
        *,
        vendored: bool = False,
        ca_file: AuthorityFile | None = None,
    ) -> Export:
        """Return a pin set as files for this platform, and the settings that they omit.

        Args:
            pins: the pin set.
            package: the package name of exported Java or Kotlin code.
            signed: the source from which the app updates its pins.
            vendored: also return a copy of the library that the exported code imports.
            ca_file: certificates of pinned authorities. Policies that pin only authorities then
                trust exactly those with a pinned key.

        Raises:
            ConfigError: the export would be unsafe, or the platform supports no packages, no
                signed updates or no copy of a library, or compares the chain and needs no
                ``ca_file``.
        """
        pins, missing = (pins, ()) if ca_file is None else self._anchored(pins, ca_file)
        projected, omissions = project(pins, self.limits)
        omissions = (*missing, *omissions)
        files = self.write(projected)
        if signed:
            files += self._following(projected, signed)
        if vendored:
            files = self._with_library(files)
        if package:
            files = tuple(self._packed(file, package) for file in files)
        return Export(files, projected, omissions)

    def _anchored(self, pins: PinSet, file: AuthorityFile) -> tuple[PinSet, tuple[Omission, ...]]:
        """Return a pin set with anchors from a file, and an omission for each host that lacks some.

        Raises:
            ConfigError: the platform compares the chain, or can't be given anchors.
        """
        if not any(isinstance(limit, (LeafOrAnchors, AnchorsOnly)) for limit in self.limits):
            raise ConfigError(
                f"the format {self.name} takes no certificates of authorities",
                key="--ca-file",
                fix="leave it out; it is for platforms that compare only the leaf, such as curl",
            )
        found = [with_anchors(each, file.certificates, file.name) for each in pins.policies]
        lost = [
            Omission("pins", str(policy.pattern), problem) for policy, problem in found if problem
        ]
        return replace(pins, policies=tuple(policy for policy, _ in found)), tuple(lost)

    def _following(self, pins: PinSet, signed: SignedSource) -> tuple[File, ...]:
        if self.signed is None:
            raise ConfigError(
                f"the format {self.name} does not support signed pin sets",
                key="--signed-root",
                fix="leave it out; only Flutter and Python apps support them",
            )
        return self.signed(pins, signed)

    def _with_library(self, files: tuple[File, ...]) -> tuple[File, ...]:
        if self.vendored is None:
            raise ConfigError(
                f"the format {self.name} needs no library of certpin",
                key="--vendored",
                fix="leave it out; it is for Flutter",
            )
        return self.vendored(files)

    def _packed(self, file: File, package: str) -> File:
        if not self.package or not _PACKAGE.fullmatch(package):
            raise ConfigError(
                f"{package!r} is not a valid package for {self.name}",
                key="--package",
                fix="use a package only for Java and Kotlin: com.bank.app",
            )
        line = self.package.format(package)
        return replace(file, text=file.text.replace("\nimport ", f"\n{line}\n\nimport ", 1))

    def load(self, source: Source, options: ImportOptions | None = None) -> PinSet:
        """Return the pin set in a platform's file. ``options`` has what the file lacks.

        Raises ``FormatError`` if the file is not of this format, and ``ConfigError`` if the pin set
        is unsafe.
        """
        if len(source.data) > MAX_SOURCE_BYTES:
            raise FormatError(f"the file has more than {MAX_SOURCE_BYTES} bytes")
        return self.read(source).pin_set(options or ImportOptions())


def only(pins: PinSet, patterns: Iterable[str]) -> PinSet:
    """Return the pin set with only the policies that have one of these host patterns.

    Without patterns, the whole pin set is returned.

    Raises:
        ConfigError: a pattern has no policy.
    """
    wanted = {str(HostPattern.parse(pattern)) for pattern in patterns}
    if missing := wanted - {str(policy.pattern) for policy in pins.policies}:
        raise ConfigError(
            f"no policy has the pattern {min(missing)}",
            key="host",
            fix="write it exactly as in the pin file",
        )
    kept = [policy for policy in pins.policies if not wanted or str(policy.pattern) in wanted]
    return replace(pins, policies=tuple(kept))
