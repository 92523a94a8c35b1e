"""The changes of ``certpin import``: new policies, and the PEM files of their trust anchors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from certpin.errors import ConfigError, InputError
from certpin.formats.table import pem
from certpin.pinfile.disk import write_atomically
from certpin.pinfile.editor import PinFileEditor
from certpin.pins.policy import policy_meaning
from certpin.x509.reader import MAX_FILE_BYTES, read_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import HostPolicy, PinSet, TrustAnchors


class HostImport:
    """An import of another platform's hosts into a pin file. Only ``save()`` writes.

    Args:
        path: the pin file, which may not exist yet.
        pins: the imported pin set.
        named: the user named the pin set, which is allowed only for a new file.

    Attributes:
        added: the policies of new hosts.
        kept: the policies that the pin file already has, with the same meaning.
        version: the version of the pin file after the import.

    Raises:
        ConfigError: the pin file has another policy for a host, or other trust anchors.
        PinFileError: the pin file is invalid.
        click.UsageError: the user named an existing pin set.
    """

    def __init__(self, path: Path, pins: PinSet, *, named: bool) -> None:
        self._path = path
        self._texts: dict[Path, str] = {}  # the trust anchors as PEM, by file
        existing = self._open(pins, named=named)
        self.added = [policy for policy in pins.policies if str(policy.pattern) not in existing]
        self.kept = [policy for policy in pins.policies if str(policy.pattern) in existing]
        for policy in self.kept:
            _refuse_other_policy(existing[str(policy.pattern)], policy)
        for policy in self.added:
            self._editor.add_host(policy, trust=self._trust(policy))
        if pins.debug and not self._debug:
            self._editor.add_debug(self._anchors("debug", pins.debug))
        self.version = self._version(pins)

    @property
    def anchors(self) -> list[Path]:
        """The PEM files of trust anchors that ``save()`` writes beside the pin file."""
        return list(self._texts)

    def save(self) -> None:
        """Write the files of trust anchors, then the pin file that names them.

        Raises:
            PinFileError: a file can't be written.
        """
        for file, text in self._texts.items():
            if not file.exists():
                write_atomically(file, text)
        self._editor.save()

    def _open(self, pins: PinSet, *, named: bool) -> dict[str, HostPolicy]:
        self._debug = False
        self._new = not self._path.exists()
        if self._new:
            self._editor = PinFileEditor.new(self._path, pins.name, version=pins.version)
            return {}
        if named:
            raise click.UsageError(f"--name is for a new file, and {self._path} already exists")
        self._editor = PinFileEditor.open(self._path)
        existing = self._editor.check()
        self._debug = existing.debug is not None
        return {str(policy.pattern): policy for policy in existing.policies}

    def _version(self, pins: PinSet) -> int:
        if self._new:
            return pins.version
        return self._editor.raise_version() if self.added else self._editor.check().version

    def _trust(self, policy: HostPolicy) -> str:
        if policy.trust is None:
            return "system"
        return self._anchors(policy.pattern.name, policy.trust)

    def _anchors(self, owner: str, anchors: TrustAnchors) -> str:
        """Choose the PEM file for the trust anchors of a host or of ``debug``; return its name.

        ``save()`` writes it beside the pin file. An existing file with the same anchors is kept.

        Raises:
            ConfigError: the file exists, and has other certificates.
        """
        name = f"{re.sub('[^a-z0-9.-]', '_', owner)}-anchors.pem"
        file = self._path.parent / name
        if file.exists() and _certificates(file) != anchors.der:
            raise ConfigError(
                f"{name} exists, and has other certificates",
                key="trust",
                fix="move it away, or add the host by hand",
            )
        self._texts[file] = pem(anchors)
        return name


def _refuse_other_policy(existing: HostPolicy, imported: HostPolicy) -> None:
    differing = policy_meaning(existing).differing(policy_meaning(imported))
    if not differing:
        return
    raise ConfigError(
        f"{imported.pattern} already has another policy, which differs in: {', '.join(differing)}",
        key="host",
        fix="remove one of the two policies, or import into another file: --file FILE",
    )


def _certificates(file: Path) -> tuple[bytes, ...]:
    try:
        with file.open("rb") as opened:
            certificates = read_certificates(opened.read(MAX_FILE_BYTES))
    except (OSError, InputError):
        return ()
    return tuple(certificate.der for certificate in certificates)
