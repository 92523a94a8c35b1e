"""Writes imported policies into a pin file, and their trust anchors into PEM files beside it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from certpin.cli.keys import certifiable_unknown, require_certifiable, require_uncompromised
from certpin.errors import ConfigError, InputError
from certpin.formats.parsed import pem
from certpin.pinfile.editor import PinFileEditor
from certpin.pinfile.file import write_atomically
from certpin.pins.policy import policy_meaning
from certpin.x509.certificate import MAX_FILE_BYTES, read_certificates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin, PinSet, TrustAnchors

_LOG_LIST = "log_list.json"


class HostImport:
    """An import of another platform's hosts into a pin file. Only ``save()`` writes files.

    Args:
        path: the pin file, which may not exist yet.
        pins: the imported pin set.
        named: True if the user named the pin set, which is allowed only for a new file.
        key_types: the known types of keys, such as ``EC P-256``, by their pins. A key that a server
            presents is left out: it needs no check, because it has a certificate.

    Attributes:
        path: the pin file.
        added: the policies of new hosts.
        kept: the imported policies that the pin file already has, with the same meaning.
        version: the version of the pin file after the import.
        unlisted: the added hosts that are imported without their requirement of Certificate
            Transparency. The other platform checks it with its own list of logs, which certpin
            can't read. The pin file can require it only with a list of logs that the user provides.
        unknown: a phrase for each added backup whose key type certpin could not check.

    Raises:
        ConfigError: the pin file has a different policy for a host, other trust anchors or other
            anchors for debug builds; no public authority certifies the key of a leaf; or a key is
            compromised under one host and accepted under another.
        JournalError: the journal of the pin file can't be read.
        PinFileError: the pin file is invalid.
        click.UsageError: the user named the pin set of an existing pin file.
    """

    def __init__(
        self,
        path: Path,
        pins: PinSet,
        *,
        named: bool,
        key_types: Mapping[Pin, str] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self._texts: dict[Path, str] = {}  # the trust anchors as PEM, by file
        existing = self._open(pins, named=named)
        self.added = [policy for policy in pins.policies if str(policy.pattern) not in existing]
        self.kept = [policy for policy in pins.policies if str(policy.pattern) in existing]
        for policy in self.kept:
            _refuse_other_policy(existing[str(policy.pattern)], policy)
        require_uncompromised(path, self.added, existing.values())
        self.unlisted = [str(policy.pattern) for policy in self.added if _is_unlisted(policy)]
        if any(policy.ct_logs and not _is_unlisted(policy) for policy in self.added):
            self._name_logs(pins, existing)
        self.unknown = _check_key_types(self.added, key_types)
        self._editor.add_hosts([(policy, self._trust(policy)) for policy in self.added])
        if pins.debug:
            self._add_debug(pins.debug)
        self.version = self._version(pins)

    @property
    def anchors(self) -> list[Path]:
        """The PEM files of trust anchors that ``save()`` writes beside the pin file."""
        return [file for file in self._texts if file != self.log_list]

    @property
    def log_list(self) -> Path | None:
        """The file with the CT log list that ``save()`` writes; None if it writes no list."""
        file = self.path.parent / _LOG_LIST
        return file if file in self._texts else None

    def save(self) -> None:
        """Write the PEM files and the CT log list, then the pin file: all, or nothing on failure.

        Raises:
            PinFileError: a file can't be written.
        """
        written = []
        try:
            for file, text in self._texts.items():
                if not file.exists():
                    write_atomically(file, text)
                    written.append(file)
            self._editor.save()
        except BaseException:
            for file in written:
                with suppress(OSError):
                    file.unlink()
            raise

    def _open(self, pins: PinSet, *, named: bool) -> dict[str, HostPolicy]:
        self._debug: TrustAnchors | None = None
        self._new = not self.path.exists()
        if self._new:
            self._editor = PinFileEditor.new(self.path, pins.name, version=pins.version)
            return {}
        if named:
            raise click.UsageError(f"--name is for a new file, and {self.path} already exists")
        self._editor = PinFileEditor.open(self.path)
        existing = self._editor.check()
        self._debug = existing.debug
        return {str(policy.pattern): policy for policy in existing.policies}

    def _version(self, pins: PinSet) -> int:
        if self._new:
            return pins.version
        return self._editor.raise_version() if self.added else self._editor.check().version

    def _add_debug(self, anchors: TrustAnchors) -> None:
        """Add the imported anchors of debug builds to a pin file that has none.

        A pin file with the same anchors stays unchanged.

        Raises:
            ConfigError: the pin file has other anchors of debug builds.
        """
        if self._debug is None:
            self._editor.add_debug(self._anchors("debug", anchors))
        elif set(self._debug.der) != set(anchors.der):
            raise ConfigError(
                "the pin file has other trust anchors for debug builds than the imported file",
                key="debug",
                fix="make both the same, or import into another file: --file FILE",
            )

    def _trust(self, policy: HostPolicy) -> str:
        if policy.trust is None:
            return "system"
        name = policy.pattern.name
        # *.bank.example and bank.example may have different anchors.
        taken = self._texts.get(self._file(name), pem(policy.trust)) != pem(policy.trust)
        return self._anchors(str(policy.pattern) if taken else name, policy.trust)

    def _name_logs(self, pins: PinSet, existing: Mapping[str, HostPolicy]) -> None:
        """Add the imported list of Certificate Transparency logs to a pin file that has no list.

        Args:
            pins: the imported pin set.
            existing: the policies of the pin file, by host pattern.

        Raises:
            ConfigError: the pin file has a different list, or the file of the list has other
                content.
        """
        logs = pins.ct_logs
        known = next((policy.ct_logs for policy in existing.values() if policy.ct_logs), None)
        if logs is None or known == logs:
            return
        if known is not None:
            raise ConfigError(
                f"{known.source} is not the imported list of Certificate Transparency logs",
                key="ct_logs",
                fix="import into another file: --file FILE",
            )
        file = self.path.parent / _LOG_LIST
        text = json.dumps(logs.to_json(), indent=2) + "\n"
        if file.exists() and file.read_bytes() != text.encode():
            raise ConfigError(
                f"{_LOG_LIST} exists, and has other content", key="ct_logs", fix="move it away"
            )
        self._texts[file] = text
        self._editor.add_log_list(_LOG_LIST)

    def _anchors(self, owner: str, anchors: TrustAnchors) -> str:
        """Prepare the PEM file for trust anchors, and return its name; ``save()`` writes it.

        An existing file with the same anchors is kept.

        Args:
            owner: the host that has these anchors, or ``debug`` for those of debug builds.
            anchors: the trust anchors.

        Raises:
            ConfigError: the file exists, and has other certificates.
        """
        file = self._file(owner)
        name = file.name
        if file.exists() and _certificates(file) != anchors.der:
            raise ConfigError(
                f"{name} exists, and has other certificates",
                key="trust",
                fix="move it away, or add the host by hand",
            )
        self._texts[file] = pem(anchors)
        return name

    def _file(self, owner: str) -> Path:
        return self.path.parent / f"{re.sub('[^a-z0-9.-]', '_', owner)}-anchors.pem"


def _check_key_types(policies: Iterable[HostPolicy], known: Mapping[Pin, str]) -> list[str]:
    """Check that servers can get certificates for the pinned keys of policies.

    Args:
        policies: the policies.
        known: the types of keys, by their pins.

    Returns:
        A phrase for each backup key that could not be checked, because its type is unknown. A key
        of several hosts has one phrase.

    Raises:
        ConfigError: no public authority certifies one of the keys.
    """
    unknown = []
    for policy in policies:
        for entry in policy.live_pins.values():
            if entry.role not in {"leaf", "backup"}:
                continue
            key_type = known.get(entry.pin, "")
            require_certifiable(key_type, policy.pattern, policy.trust, policy.match)
            if entry.role == "backup":
                unknown.append(certifiable_unknown(entry.pin, key_type, policy.trust, policy.match))
    return list(dict.fromkeys(filter(None, unknown)))


def _is_unlisted(policy: HostPolicy) -> bool:
    """Return True if a policy requires Certificate Transparency by a list that certpin can't read.

    Such a list is part of a platform, for example of Android. The host is then imported without the
    requirement, and the output says so.
    """
    return policy.ct_logs is not None and policy.ct_logs.timestamp is None


def _refuse_other_policy(existing: HostPolicy, imported: HostPolicy) -> None:
    if existing.ct_logs and _is_unlisted(imported):
        imported = replace(imported, ct_logs=existing.ct_logs)
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
