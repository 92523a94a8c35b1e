"""The model of a format: how to write a pin set for a platform, and how to read it back."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, FormatError
from certpin.formats.limits import (
    AnchorsOnly,
    LeafOnly,
    LeafOrAnchors,
    OneDateInOverlaps,
    OneHost,
    United,
    lacks_anchors,
    with_anchors,
)
from certpin.formats.parsed import ImportOptions
from certpin.formats.projection import Omission, project
from certpin.formats.selection import covered_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from certpin.formats.parsed import ParsedFile, Source
    from certpin.formats.projection import Limitation
    from certpin.pins import HostPolicy, PinSet
    from certpin.x509 import Certificate

# Far larger than any real pin list: the list that is built into a browser is below 1 MiB.
MAX_SOURCE_BYTES = 16 * 1024 * 1024


# A package name: a reversed domain name (Java Language Specification, section 6.1).
_PACKAGE = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*", re.ASCII)

# The unreserved characters of RFC 3986, and the separators between the parts of a URL.
_PLAIN_ADDRESS = re.compile(r"https://[A-Za-z0-9.:/_~%\[\]-]+/")


@dataclass(frozen=True)
class File:
    """A file that an export writes.

    Attributes:
        path: the path relative to the output folder.
        text: the content.
    """

    path: str
    text: str


@dataclass(frozen=True)
class SignedSource:
    """The URL from which an app updates its pins, and the root metadata (TUF) that the app trusts.

    Attributes:
        url: the ``https://`` URL of the folder with the signed pin set.
        root: the content of a ``root.json``.

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
    """A file with certificates of authorities, such as a bundle of roots.

    Attributes:
        name: the name of the file.
        certificates: the certificates in the file.
    """

    name: str
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True)
class Export:
    """The result of an export.

    Attributes:
        files: the exported files.
        pins: the pin set in these files, without the settings that the platform can't express.
        omissions: the settings that the export omitted or changed.
    """

    files: tuple[File, ...]
    pins: PinSet
    omissions: tuple[Omission, ...]


@dataclass(frozen=True)
class Format:
    """An export format: how to write a pin set for a platform, and how to read it back.

    Attributes:
        name: the name on the command line, such as ``android``.
        title: the name of the platform, for users.
        use: a sentence that says how to use the exported file.
        use_at: a function that returns such a sentence for the path of a written file; None if
            ``use`` is true for each path.
        file: the name of the exported file, or of the main file in a folder.
        limits: the settings of a pin set that the platform can't express.
        write: a function that returns the files for a pin set. The pin set must be a result of
            ``project`` with ``limits``; ``write`` doesn't check this.
        read: the inverse of ``write``: a function that returns the settings in a file. Raises
            ``FormatError`` if the file is not of this format.
        needs: sentences that say what the pins rely on at run time.
        date_needs: such sentences for files with an expiry date.
        settings: a function that returns the settings of each connection in a file, as texts
            without comments, pins and certificates. ``certpin lint --exported`` compares them with
            those of a new export. None if an app's own code or settings belong in the file.
        refuses_bom: True if the platform's program refuses a file with a byte order mark.
        refuses_crlf: True if it refuses a file with line ends CR LF, except on Windows.
        folder: True if the export can be several files.
        in_working_folder: True if the platform's program looks for the other exported files in its
            working folder, and not beside the main file.
        in_debug_builds: True if release builds of the app leave out the anchors of ``[debug]``.
        has_roles: True if the file has the roles of pins, so that an import restores them.
        lacks: a sentence for the user of an import that says what else an exported file lacks.
        language: the language of ``certpin import LANGUAGE`` if the file is source code of apps
            that this command reads; else empty.
        package: a function that returns the declaration of a package of this name; None if the
            export has no package.
        signed: a function that returns the additional files for updates of the app's pins; None if
            the platform doesn't support updates.
        vendored: a function that adds a copy of the imported library to the files; None if there is
            no library to copy.
        vendored_use: a sentence that says how to use the files with this copy.
    """

    name: str
    title: str
    use: str
    file: str
    limits: tuple[Limitation, ...]
    write: Callable[[PinSet], tuple[File, ...]]
    read: Callable[[Source], ParsedFile]
    needs: tuple[str, ...] = ()
    date_needs: tuple[str, ...] = ()
    use_at: Callable[[Path], str] | None = None
    settings: Callable[[str], list[set[str]]] | None = None
    refuses_bom: bool = False
    refuses_crlf: bool = False
    folder: bool = False
    in_working_folder: bool = False
    in_debug_builds: bool = False
    has_roles: bool = False
    lacks: str = ""
    language: str = ""
    package: Callable[[str], str] | None = None
    signed: Callable[[PinSet, SignedSource], tuple[File, ...]] | None = None
    vendored: Callable[[tuple[File, ...]], tuple[File, ...]] | None = None
    vendored_use: str = ""

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
        left_out: Iterable[HostPolicy] = (),
    ) -> Export:
        """Return a pin set as files for this platform, and the settings that they omit.

        Args:
            pins: the pin set.
            package: the package name of exported Java or Kotlin code.
            signed: the source from which the app updates its pins; None for no updates.
            vendored: True to also return a copy of the library that the exported code imports.
            ca_file: certificates of pinned authorities. Those that have a pinned key become the
                trust anchors of policies that pin only authorities.
            left_out: the policies of the pin file that ``pins`` does not contain. The platform
                applies an exported wildcard to their hosts too, unless the files are for one host.

        Raises:
            ConfigError: the export would be unsafe, or the platform does not support one of the
                arguments (``package``, ``signed``, ``vendored``, ``ca_file``) or its value.
        """
        pins, missing = (pins, ()) if ca_file is None else self._anchored(pins, ca_file)
        projected, omissions = project(pins, self.limits)
        if not any(isinstance(limit, OneHost) for limit in self.limits):
            omissions = (*omissions, *covered_by(projected, pins, left_out))
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
        """Make certificates in ``file`` the trust anchors of policies that pin only authorities.

        Such a policy of the pin set ``pins`` gets the certificates that have one of its pinned
        keys. Policies that have trust anchors already are not changed.

        Returns:
            The new pin set, and an omission for each changed policy with a pin that no certificate
            has.

        Raises:
            ConfigError: the platform can't use the certificates, because it compares the whole
                chain or always the leaf; no policy needs the certificates; or the file has none for
                a policy that needs one.
        """
        if not any(isinstance(limit, (LeafOrAnchors, AnchorsOnly)) for limit in self.limits):
            if any(isinstance(limit, LeafOnly) for limit in self.limits):
                reason = "always compares the leaf, also if it trusts only these authorities"
                fix = "pin the server's own key, or choose curl, Flutter, nginx or HAProxy"
            else:
                reason = "compares the whole chain, and needs no certificates"
                fix = "leave it out"
            raise ConfigError(f"the format {self.name} {reason}", key="--ca-file", fix=fix)
        if not any(map(lacks_anchors, pins.policies)):
            raise _unused(pins.policies[0])
        found = [with_anchors(each, file.certificates, file.name) for each in pins.policies]
        for policy, _ in found:
            if lacks_anchors(policy):
                raise ConfigError(
                    f"{file.name!r} has no certificate with a pinned key of {policy.pattern}",
                    key="--ca-file",
                    fix="name a bundle that contains the pinned authorities, or also pin the "
                    "server's own key",
                )
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
        line = self.package(package)
        return replace(file, text=file.text.replace("\nimport ", f"\n{line}\n\nimport ", 1))

    def load(self, source: Source, options: ImportOptions | None = None) -> PinSet:
        """Return the pin set in a platform's file.

        For a host that several patterns cover, some platforms accept the pins of all of them, but
        certpin's clients use only the most specific policy. For these platforms, each policy gets
        the pins of the broader patterns too. If the expiry dates of such patterns differ,
        ``FormatError`` is raised, because a policy has only one date.

        Args:
            source: the file.
            options: the user's values for settings that the file lacks.

        Raises:
            FormatError: the file is too large or not of this format, or a pin file can't express
                its settings.
            PinFileError: the pin set is unsafe, such as a host with only one pin.
            ConfigError: no host is known for the pins, or the user named another host than the
                file.
        """
        if len(source.data) > MAX_SOURCE_BYTES:
            raise FormatError(f"the file has more than {MAX_SOURCE_BYTES} bytes")
        pins = self.read(source).pin_set(options or ImportOptions())
        for limit in self.limits:
            if isinstance(limit, (OneDateInOverlaps, United)):
                pins, _ = limit.apply(pins)
        return pins


def _unused(policy: HostPolicy) -> ConfigError:
    """Return the error for a file of authorities (``--ca-file``) that no policy needs.

    The file isn't ignored silently, because the user could then believe that the platform trusts
    the authorities. ``policy`` is one of the policies: the message says why it doesn't need the
    file.
    """
    anchored = policy.trust is not None
    reason = "has its own trust anchors (trust)" if anchored else "pins the key of the server"
    fix = (
        "leave it out"
        if anchored
        else ('leave it out; for a private authority, set trust = "root.pem" in the pin file')
    )
    return ConfigError(f"no host needs it: {policy.pattern} {reason}", key="--ca-file", fix=fix)
