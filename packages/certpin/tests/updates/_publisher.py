"""Publisher of signed pin sets (a TUF repository): keys in memory, files in a folder.

It uses the API of python-tuf. A test attacks a client by changing the folder later. Nothing here
uses certpin: it is a second implementation of the published format.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from tests import kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from certpin import Pin

CHANNEL = "localhost"
HOST = "api.bank.example"
DAY = timedelta(days=1)

_POLICY = """
[[host]]
name = "{name}"
{more}
[[host.pin]]
pin = "{pin}"

[[host.pin]]
pin = "{backup}"
role = "backup"
"""


def pin_file(version: int, hosts: Mapping[str, Pin], *, name: str = "bank", **more: str) -> str:
    """Return the text of a pin file with one pin and a backup pin for each host.

    ``more`` has additional lines for a host. Its keywords are the names of hosts, with ``_`` for
    each dot.
    """
    text = f'schema = 1\nname = "{name}"\nversion = {version}\n'
    for host, pin in hosts.items():
        lines = more.get(host.replace(".", "_"), "")
        text += _POLICY.format(name=host, pin=pin, backup=kit.NOBODY, more=lines)
    return text


class Repository:
    """A TUF repository with its signing keys. A server serves its files from ``folder``."""

    def __init__(self, folder: Path, *, threshold: int = 1, now: datetime | None = None) -> None:
        self.folder = folder
        self.now = now or datetime.now(UTC).replace(microsecond=0)
        self.keys = {role: [CryptoSigner.generate_ecdsa()] for role in ("root", "targets")}
        self.keys["targets"] += [CryptoSigner.generate_ecdsa() for _ in range(threshold - 1)]
        self.online = CryptoSigner.generate_ecdsa()
        self.days = {"root": 365, "targets": 90, "snapshot": 14, "timestamp": 3}
        self.versions = {"root": 0, "targets": 0, "snapshot": 0, "timestamp": 0}
        self.threshold = threshold
        self.digests = (
            True  # whether metadata names other metadata by digest, which is optional in TUF
        )
        self.files: dict[str, bytes] = {}
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()
        self.publish_root(self.keys["root"])
        self.first_root = self.path("root").read_bytes()  # the root in the app

    def publish(self, text: str | bytes, files: Mapping[str, bytes] | None = None) -> None:
        """Sign and publish a pin file with its trust files.

        The targets metadata has the name and the version from the pin file.
        """
        import tomllib

        data = text if isinstance(text, bytes) else text.encode()
        top = tomllib.loads(data.decode())
        custom = {"pin-set": top["name"], "version": top["version"]}
        self.publish_targets({"pins.toml": data, **(files or {})}, custom)
        self.publish_online()

    def publish_targets(
        self,
        files: Mapping[str, bytes],
        custom: Any,
        *,
        signers: Iterable[CryptoSigner] | None = None,
        change: Any = None,
    ) -> None:
        """Store target files, and sign targets metadata for them.

        Args:
            files: the target files by name.
            custom: the ``custom`` field of each target.
            signers: the signing keys; by default, the current targets keys.
            change: a function that may change the metadata before it is signed.
        """
        self.files = dict(files)
        for name, data in files.items():
            self.put_target(name, data, sha256(data).hexdigest())
        infos = {name: _info(name, data, custom) for name, data in files.items()}
        signed = Targets(self._next("targets"), expires=self._expiry("targets"), targets=infos)
        if change is not None:
            change(signed)
        self._write("targets", signed, signers or self.keys["targets"])

    def put_target(self, name: str, data: bytes, digest: str) -> None:
        folder, slash, last = name.rpartition("/")
        path = self.folder / "targets" / f"{folder}{slash}{digest}.{last}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def publish_online(self, *, signer: CryptoSigner | None = None) -> None:
        """Sign a snapshot of the current targets, and a timestamp of that snapshot.

        ``signer`` replaces the online key.
        """
        meta = {"targets.json": self._meta("targets")}
        snapshot = Snapshot(self._next("snapshot"), expires=self._expiry("snapshot"), meta=meta)
        self._write("snapshot", snapshot, [signer or self.online])
        self.publish_timestamp(signer=signer)

    def publish_timestamp(self, *, signer: CryptoSigner | None = None) -> None:
        """Sign a new timestamp, as the publisher's online key does each day.

        ``signer`` replaces the online key.
        """
        timestamp = Timestamp(
            self._next("timestamp"),
            expires=self._expiry("timestamp"),
            snapshot_meta=self._meta("snapshot"),
        )
        self._write("timestamp", timestamp, [signer or self.online])

    def publish_root(self, signers: Iterable[CryptoSigner], *, change: Any = None) -> None:
        """Sign a root that names the current keys of all roles.

        Args:
            signers: the keys that sign the root: after a rotation, those of the old and the new
                root.
            change: a function that may change the root before it is signed.
        """
        root = Root(self._next("root"), expires=self._expiry("root"), consistent_snapshot=True)
        for role in ("root", "targets"):
            for signer in self.keys[role]:
                root.add_key(signer.public_key, role)
        for role in ("snapshot", "timestamp"):
            root.add_key(self.online.public_key, role)
        root.roles["targets"].threshold = self.threshold
        if change is not None:
            change(root)
        self._write("root", root, signers)

    def rotate(self, *roles: str) -> None:
        """Replace the keys of these roles, and sign a root that names the new keys.

        The roles are ``root``, ``targets`` and ``online``. The old and the new root keys sign the
        root.
        """
        before = list(self.keys["root"])
        for role in roles:
            if role == "online":
                self.online = CryptoSigner.generate_ecdsa()
            else:
                self.keys[role] = [CryptoSigner.generate_ecdsa() for _ in self.keys[role]]
        both = {id(each): each for each in [*before, *self.keys["root"]]}
        self.publish_root(both.values())

    def resign(self) -> None:
        """Sign the unchanged targets, a snapshot and a timestamp again, with the current keys."""
        custom = self.read("targets").signed.targets["pins.toml"].custom
        self.publish_targets(self.files, custom)
        self.publish_online()

    def read(self, role: str) -> Metadata[Any]:
        """Return the current metadata of a role, parsed from its served file."""
        return Metadata.from_bytes(self.path(role).read_bytes())

    def path(self, role: str) -> Path:
        """Return the path of the current metadata file of a role."""
        numbered = "" if role == "timestamp" else f"{self.versions[role]}."
        return self.folder / "metadata" / f"{numbered}{role}.json"

    def copy(self, folder: Path) -> Path:
        """Copy the repository's current files to ``folder``, and return ``folder``."""
        return shutil.copytree(self.folder, folder)

    def restore(self, copied: Path) -> None:
        """Replace all served files by those of an earlier copy."""
        shutil.rmtree(self.folder)
        shutil.copytree(copied, self.folder)

    def _next(self, role: str) -> int:
        self.versions[role] += 1
        return self.versions[role]

    def _expiry(self, role: str) -> datetime:
        return self.now + self.days[role] * DAY

    def _meta(self, role: str) -> MetaFile:
        data = self.path(role).read_bytes()
        named = (len(data), {"sha256": sha256(data).hexdigest()}) if self.digests else ()
        return MetaFile(self.versions[role], *named)

    def _write(self, role: str, signed: Any, signers: Iterable[CryptoSigner]) -> None:
        metadata: Metadata[Any] = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        written = self.folder / "metadata" / "written"
        written.write_bytes(metadata.to_bytes())
        written.replace(self.path(role))  # a client that reads meanwhile gets no part of it


def naming(name: object) -> Callable[[Any], None]:
    """Return a change of a root that gives it the name of a pin set; ``None`` for no name."""

    def change(root: Any) -> None:
        if name is not None:
            root.unrecognized_fields["x-certpin-pin-set"] = name

    return change


def _info(name: str, data: bytes, custom: Any) -> TargetFile:
    hashes = {"sha256": sha256(data).hexdigest()}
    return TargetFile(len(data), hashes, name, {"custom": custom})
