"""A TUF repository in memory, and the registry of cases that a client is tested with.

A case is a function of a ``Site``: it changes the repository, and states at each moment whether a
client must accept the files. Each case is written from the TUF specification, and names its
section. The same cases are run on certpin's Python client (``test_conformance.py``) and on its Dart
client (``tests/formats/flutter/test_conformance.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from certpin.formats.flutter.published import PINS_JSON, published
from certpin.pinfile import PinSet
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

START = datetime(2027, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROLES = ("root", "targets", "snapshot", "timestamp")
NONE = 0  # the version of a role that a client has not accepted yet


@dataclass(frozen=True)
class Moment:
    """One refresh of a client, and the result that the client must have.

    Attributes:
        now: the time of the client.
        files: the files of the server, by path.
        reasons: the reasons of ``UpdateError`` that are right, or empty if the client must accept.
        trusted: the version of each role that the client has stored afterwards.
        pins: the version of the pin set that the server's targets name.
    """

    now: datetime
    files: Mapping[str, bytes]
    reasons: tuple[str, ...]
    trusted: Mapping[str, int]
    pins: int


@dataclass(frozen=True)
class Case:
    """One conformance test of an update client.

    ``build`` fills a ``Site`` with files and required results. ``section`` is that of the TUF
    specification. ``dart`` is why the Dart client can't run the case, or empty.
    """

    name: str
    section: str
    build: Callable[[Site], None]
    dart: str = ""


CASES: dict[str, Case] = {}


def case(
    section: str, *, dart: str = "", name: str = ""
) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Return a decorator that registers a function as a case for a section of TUF 1.0.31.

    Args:
        section: the number of the section.
        dart: the reason if the Dart client can't run the case; empty if it can.
        name: the name of the case; by default that of the function.
    """

    def add(build: Callable[[Site], None]) -> Callable[[Site], None]:
        found = name or build.__name__
        assert found not in CASES, found
        CASES[found] = Case(found, section, build, dart)
        return build

    return add


class Site:
    """A TUF repository in memory, and the moments at which a case tests a client.

    All roles begin at version 1. ``first_root`` is the root that a client begins with.
    """

    def __init__(self) -> None:
        self.now = START
        self.files: dict[str, bytes] = {}
        self.moments: list[Moment] = []
        self.digests = True  # whether metadata names other metadata by length and digest
        self.signers = {role: [new_key()] for role in ROLES}
        until = START + 365 * DAY
        self.root = Root(expires=until, consistent_snapshot=True)
        self.targets = Targets(expires=until)
        self.snapshot = Snapshot(expires=until)
        self.timestamp = Timestamp(expires=until)
        for role in ROLES:
            self.restart(role)
            self.root.add_key(self.signers[role][0].public_key, role)
        self.pins = 0
        self.name_pins(2)
        self.publish(*ROLES)
        self.first_root = self.files[self.path("root")]

    def role(self, role: str) -> Any:
        """Return the unsigned metadata of a role, which a case may change."""
        return getattr(self, role)

    def path(self, role: str, version: int | None = None) -> str:
        """Return the server's path of a role's file, by default that of the current version."""
        number = self.role(role).version if version is None else version
        return (
            "metadata/timestamp.json" if role == "timestamp" else f"metadata/{number}.{role}.json"
        )

    def name_pins(self, version: int) -> None:
        """Put a pin set of this version into the targets metadata, without signing the metadata."""
        self.pins = version
        text = pin_file(version, {CHANNEL: kit.NOBODY_ELSE, HOST: kit.NOBODY_ELSE})
        pins_json, _ = published(PinSet.parse(text))
        self.targets.targets.clear()
        for name, data in {"pins.toml": text.encode(), PINS_JSON: pins_json}.items():
            self.add_target(name, data)

    def add_target(self, name: str, data: bytes, *hashes: str) -> TargetFile:
        """Add a target file to the server and the targets metadata; return its metadata entry.

        ``hashes`` are the names of its hash algorithms, by default SHA-256.
        """
        info = TargetFile.from_data(name, data, list(hashes or ("sha256",)))
        info.unrecognized_fields["custom"] = {"pin-set": "bank", "version": self.pins}
        self.targets.targets[name] = info
        folder, slash, last = name.rpartition("/")
        for digest in info.hashes.values():
            self.files[f"targets/{folder}{slash}{digest}.{last}"] = data
        return info

    def publish(self, *roles: str) -> None:
        """Raise the version of these roles, sign them, and put their files on the server.

        Without arguments, the roles are all but the root.
        """
        for role in [role for role in ROLES if role in (roles or ROLES[1:])]:
            self.role(role).version += 1
            self.sign(role)

    def sign(self, role: str, signed: Any = None) -> None:
        """Sign the metadata of a role at its current version, and put the file on the server.

        ``signed`` replaces the metadata of the role.
        """
        if role == "snapshot":
            self.snapshot.meta["targets.json"] = self.named("targets")
        if role == "timestamp":
            self.timestamp.snapshot_meta = self.named("snapshot")
        self.put(role, self.signed(signed or self.role(role), self.signers[role]))

    def signed(self, signed: Any, signers: Iterable[CryptoSigner]) -> bytes:
        """Return a metadata file as bytes: ``signed``, with a signature by each signer."""
        metadata: Metadata[Any] = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def named(self, role: str) -> MetaFile:
        """Return the entry by which other metadata names the current file of a role."""
        version = self.role(role).version
        data = self.files.get(self.path(role), b"")
        if not self.digests:
            return MetaFile(version)
        return MetaFile(version, len(data), {"sha256": sha256(data).hexdigest()})

    def put(self, role: str, data: bytes) -> None:
        """Put these bytes on the server as the current file of a role."""
        self.files[self.path(role)] = data

    def data(self, role: str) -> Any:
        """Return the current file of a role as parsed JSON, for ``put_data`` after a change."""
        return json.loads(self.files[self.path(role)])

    def put_data(self, role: str, data: Any) -> None:
        """Put this JSON on the server as the current file of a role, without signing it."""
        self.put(role, json.dumps(data).encode())

    def resign(self, role: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the JSON of a role's metadata, sign it, and publish the roles that name its file.

        It is for values that ``tuf`` itself refuses to write.
        """
        from securesystemslib.formats import encode_canonical

        data = self.data(role)
        change(data["signed"])
        message = (encode_canonical(data["signed"]) or "").encode()
        data["signatures"] = [signer.sign(message).to_dict() for signer in self.signers[role]]
        self.put_data(role, data)
        for above in ("timestamp",) if role == "root" else ROLES[ROLES.index(role) + 1 :]:
            self.publish(above)

    def use_keys(self, role: str, keys: Iterable[CryptoSigner], threshold: int = 1) -> None:
        """Name these keys and this threshold for a role in the root, without signing the root."""
        self.root.roles[role].keyids.clear()
        for signer in keys:
            self.root.add_key(signer.public_key, role)
        self.root.roles[role].threshold = threshold

    def rotate(self, *roles: str) -> None:
        """Replace the keys of these roles (not of the root), and publish the new root."""
        for role in roles:
            self.signers[role] = [new_key()]
            self.use_keys(role, self.signers[role])
        self.publish("root")

    def restart(self, role: str) -> None:
        """Reset the version of a role, so that the next published one is 1.

        A publisher does this after a rotation of keys, an attacker for a rollback.
        """
        self.role(role).version = 0

    def accepted(self, **trusted: int) -> None:
        """Record that a client must accept the current files and store their versions.

        ``trusted`` has the versions of roles for which the client must store another version.
        """
        versions = {role: self.role(role).version for role in ROLES} | trusted
        self._moment((), versions)

    def refused(self, reasons: str, **trusted: int) -> None:
        """Record that a client must refuse the current files, for one of these reasons ("a or b").

        ``trusted`` are the versions of roles that the client has stored afterwards. All other roles
        keep the versions of the previous moment.
        """
        before = self.moments[-1].trusted if self.moments else dict.fromkeys(ROLES, NONE)
        self._moment(tuple(reasons.split(" or ")), {**before, **trusted})

    def _moment(self, reasons: tuple[str, ...], trusted: Mapping[str, int]) -> None:
        files = dict(self.files)
        self.moments.append(Moment(self.now, files, reasons, trusted, self.pins))


def new_key() -> CryptoSigner:
    """Return a new signing key of a kind that both clients support: ECDSA on P-256."""
    return CryptoSigner.generate_ecdsa()


def built(name: str) -> Site:
    """Build the site of the case with this name, and return it."""
    site = Site()
    CASES[name].build(site)
    assert site.moments, name
    return site
