"""Conformance cases on expiry, length, encoding and targets.

The sections of TUF 1.0.31 are 4, 5.4.4, 5.5.6, 5.6.5 and 5.7.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.updates.conformance._site import DAY, ROLES, case
from tests.updates.conformance.cases_signatures import BEFORE, BELOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.updates.conformance._site import Site

_LIMITS = {"root": 256, "timestamp": 16, "snapshot": 64, "targets": 512}  # KiB


def _expired(site: Site, role: str, days: int) -> None:
    site.accepted()
    site.role(role).expires = site.now - days * DAY
    site.publish()
    site.refused("expired", **BEFORE[role])


for _role in BELOW:
    case("5.5.6", name=f"{_role} that has expired")(
        lambda site, role=_role: _expired(site, role, 5)  # type: ignore[misc]
    )
    case("5.5.6", name=f"{_role} that expires now")(
        lambda site, role=_role: _expired(site, role, 0)  # type: ignore[misc]
    )


@case("5.4.4")
def the_old_files_for_ever(site: Site) -> None:
    """Indefinite freeze: a client must refuse expired files, and accept newer ones later."""
    site.timestamp.expires = site.now + 3 * DAY
    site.publish("timestamp")
    site.accepted()
    site.now += 2 * DAY
    site.accepted()
    site.now += DAY
    site.refused("expired")
    site.timestamp.expires = site.now + 3 * DAY
    site.publish()
    site.accepted()


def _renewed(site: Site, role: str) -> None:
    """A client must accept newer files although its stored metadata of ``role`` has expired."""
    until = site.role(role).expires
    site.role(role).expires = site.now + 7 * DAY
    site.publish()
    site.accepted()
    site.now += 8 * DAY
    site.role(role).expires = until
    site.publish()
    site.accepted()


for _role in BELOW:
    case("5.2", name=f"{_role} after the stored one has expired")(
        lambda site, role=_role: _renewed(site, role)  # type: ignore[misc]
    )


def _too_long(site: Site, role: str) -> None:
    """A client must refuse the file of ``role`` if spaces after the JSON exceed the size limit.

    Fewer spaces would be valid.
    """
    site.digests = False
    site.accepted()
    site.publish(*({role, "timestamp"} if role == "root" else ()))
    site.put(role, site.files[site.path(role)].ljust(_LIMITS[role] * 1024 + 1))
    site.refused("too-long", **({} if role == "root" else BEFORE[role]))


def _just_fits(site: Site, role: str) -> None:
    site.digests = False
    site.accepted()
    site.publish(*({role, "timestamp"} if role == "root" else ()))
    site.put(role, site.files[site.path(role)].ljust(_LIMITS[role] * 1024))
    site.accepted()


for _role in ROLES:
    case("5.3.3", name=f"{_role} one byte above the limit")(
        lambda site, role=_role: _too_long(site, role)  # type: ignore[misc]
    )
    case("5.3.3", name=f"{_role} as long as the limit")(
        lambda site, role=_role: _just_fits(site, role)  # type: ignore[misc]
    )


@case("5.5.1")
def a_snapshot_longer_than_named(site: Site) -> None:
    site.accepted()
    site.publish("snapshot", "timestamp")
    site.put("snapshot", site.files[site.path("snapshot")] + b" ")
    site.refused("too-long or mismatch", timestamp=2)


@case("5.5.2")
def a_snapshot_shorter_than_named(site: Site) -> None:
    site.accepted()
    site.publish("snapshot", "timestamp")
    site.put("snapshot", site.files[site.path("snapshot")][:-1])
    site.refused("mismatch", timestamp=2)


@case("4.1")
def other_white_space_than_in_canonical_json(site: Site) -> None:
    """A client must accept files with other white space: signatures cover the canonical JSON."""
    site.digests = False
    site.name_pins(3)
    site.publish()
    for role in BELOW:
        site.put(role, json.dumps(site.data(role), indent=3).encode() + b"\n \n")
    site.accepted()


@case("4")
def unknown_fields_are_signed_with_the_rest(site: Site) -> None:
    site.accepted()
    odd = {"x": [1, -7, None, True, {"y": ""}], "\U0001f511": "\uff21\\\"'\u00e4", "a": {}}
    site.root.unrecognized_fields.update(odd)
    site.root.roles["targets"].unrecognized_fields["x"] = "y"
    for role in BELOW:
        site.role(role).unrecognized_fields.update(odd)
    site.publish(*ROLES)
    site.accepted()


def _role_as(site: Site, role: str, other: str) -> None:
    """A client must refuse the valid file of the role ``other`` in place of that of ``role``.

    The keys may sign for both roles, so that the signatures are right.
    """
    site.digests = False
    site.accepted()
    site.signers[role] = site.signers[other] = [*site.signers[role], *site.signers[other]]
    site.use_keys(role, site.signers[role])
    site.use_keys(other, site.signers[role])
    site.publish(*ROLES)
    site.put(role, site.files[site.path(other)])
    before = {} if role == "root" else {"root": 2, **BEFORE[role]}
    site.refused("refused or unreadable", **before)


for _role, _other in (
    ("timestamp", "snapshot"),
    ("snapshot", "timestamp"),
    ("snapshot", "targets"),
    ("targets", "snapshot"),
    ("root", "targets"),
):
    case("4.4", name=f"{_other} in the place of {_role}")(
        lambda site, role=_role, other=_other: _role_as(site, role, other)  # type: ignore[misc]
    )


_NO_METADATA: dict[str, bytes] = {
    "nothing": b"",
    "a page": b"<html>It works!</html>",
    "half of it": b'{"signed": {"_type": "timestamp"',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1" * 5000,
    "no text": b"\xff\xfe\x00\x01" * 9,
    "another encoding": '{"signed": {}, "signatures": []}'.encode("utf-16"),
    "deep brackets": b"[" * 8000,
    "deep objects": b'{"signed":' * 1500,
    "no signed part": b'{"signatures": []}',
    "no signatures": b'{"signed": {}}',
    "an empty signed part": b'{"signed": {}, "signatures": []}',
}


def _no_metadata(site: Site, data: bytes) -> None:
    """A client must refuse a timestamp that is valid JSON, but no TUF metadata (CVE-2026-23991)."""
    site.accepted()
    right = site.files[site.path("timestamp")]
    site.put("timestamp", data)
    site.refused("unreadable or refused")
    site.put("timestamp", right)
    site.accepted()


for _name, _data in _NO_METADATA.items():
    case("4.1", name=f"instead of a timestamp {_name}")(
        lambda site, data=_data: _no_metadata(site, data)  # type: ignore[misc]
    )

_WRONG_VALUES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "no version": ("timestamp", lambda signed: signed.pop("version")),
    "version zero": ("timestamp", lambda signed: signed.update(version=0)),
    "a negative version": ("timestamp", lambda signed: signed.update(version=-3)),
    "a version as text": ("timestamp", lambda signed: signed.update(version="3")),
    "a version that is null": ("timestamp", lambda signed: signed.update(version=None)),
    "no expiry": ("timestamp", lambda signed: signed.pop("expires")),
    "an expiry without a zone": (
        "timestamp",
        lambda signed: signed.update(expires="2028-01-01T00:00:00"),
    ),
    "an expiry on no day": (
        "timestamp",
        lambda signed: signed.update(expires="2028-02-30T00:00:00Z"),
    ),
    "an expiry as a number": ("timestamp", lambda signed: signed.update(expires=1893456000)),
    "another major version of TUF": (
        "timestamp",
        lambda signed: signed.update(spec_version="2.0.0"),
    ),
    "no version of TUF": ("timestamp", lambda signed: signed.pop("spec_version")),
    "no type": ("timestamp", lambda signed: signed.pop("_type")),
    "no snapshot": ("timestamp", lambda signed: signed.update(meta={})),
    "a snapshot of version zero": (
        "timestamp",
        lambda signed: signed["meta"]["snapshot.json"].update(version=0),
    ),
    "a snapshot of negative length": (
        "timestamp",
        lambda signed: signed["meta"]["snapshot.json"].update(length=-1),
    ),
    "meta that is a list": ("timestamp", lambda signed: signed.update(meta=[])),
    "no keys": ("root", lambda signed: signed.pop("keys")),
    "no timestamp role": ("root", lambda signed: signed["roles"].pop("timestamp")),
    "a threshold as text": (
        "root",
        lambda signed: signed["roles"]["timestamp"].update(threshold="1"),
    ),
    "roles that are a list": ("root", lambda signed: signed.update(roles=[])),
}


def _wrong_value(site: Site, role: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A client must refuse correctly signed metadata in which ``change`` sets one wrong value.

    ``tuf`` reads null as the default value, which isn't the value that was signed.
    """
    site.accepted()
    site.publish(role)
    site.resign(role, change)
    site.refused("unreadable or refused or signature")


for _name, (_role, _change) in _WRONG_VALUES.items():
    case("4.3", name=f"{_role} with {_name}")(
        lambda site, role=_role, change=_change: _wrong_value(site, role, change)  # type: ignore[misc]
    )


@case("5.7.3")
def new_pins(site: Site) -> None:
    site.accepted()
    for version in (3, 4, 9):
        site.name_pins(version)
        site.publish()
        site.accepted()


def _files(site: Site, change: Callable[[bytes], bytes], reasons: str) -> None:
    """A client must refuse target files that ``change`` made different from the signed ones.

    It must accept the right files afterwards.
    """
    site.accepted()
    right = dict(site.files)
    site.name_pins(3)
    site.publish()
    for path in site.files.keys() - right.keys():
        if path.startswith("targets/"):
            right[path] = site.files[path]
            site.files[path] = change(site.files[path])
    site.refused(reasons, timestamp=2, snapshot=2, targets=2)
    site.files.update(right | {site.path("timestamp"): site.files[site.path("timestamp")]})
    site.accepted()


_CHANGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "of the same length": (lambda data: data[:-2] + b"??", "mismatch"),
    "that are shorter": (lambda data: data[:-1], "mismatch"),
    "that are empty": (lambda data: b"", "mismatch"),
    "that are longer": (lambda data: data + b" ", "too-long or mismatch"),
    "that are much longer": (lambda data: data + b" " * 2**20, "too-long or mismatch"),
}
for _name, (_alter, _reasons) in _CHANGES.items():
    case("5.7.2", name=f"targets' files {_name}")(
        lambda site, alter=_alter, reasons=_reasons: _files(site, alter, reasons)  # type: ignore[misc]
    )


@case("5.7.3")
def targets_files_that_are_missing(site: Site) -> None:
    site.accepted()
    site.name_pins(3)
    for path in [path for path in site.files if path.startswith("targets/")]:
        del site.files[path]
    site.publish()
    site.refused("http", timestamp=2, snapshot=2, targets=2)


@case("6.2")
def a_target_in_a_folder(site: Site) -> None:
    site.accepted()
    site.name_pins(3)
    site.add_target("trust/roots/ca.pem", b"-----")
    site.publish()
    site.accepted()


@case("4.5")
def a_target_with_two_hashes(site: Site) -> None:
    site.accepted()
    site.name_pins(3)
    site.add_target("ca.pem", b"-----", "sha256", "sha512")
    site.publish()
    site.accepted()


@case("4.5", dart="Dart fetches pins.json only, and ignores the hashes of other targets")
def a_target_with_sha512_only(site: Site) -> None:
    """A client must refuse a target without a SHA-256 digest.

    TUF prescribes no algorithm, but certpin's servers name target files by their SHA-256.
    """
    site.accepted()
    site.name_pins(3)
    site.add_target("ca.pem", b"-----", "sha512")
    site.publish()
    site.refused("refused", timestamp=2, snapshot=2, targets=2)


@case("4.5", dart="Dart fetches pins.json only, and ignores the hashes of other targets")
def a_target_with_an_unknown_hash(site: Site) -> None:
    site.accepted()
    site.name_pins(3)
    info = site.add_target("ca.pem", b"-----")
    info.hashes = {"sha257": info.hashes["sha256"]}
    site.publish()
    site.refused("refused", timestamp=2, snapshot=2, targets=2)


def _named(site: Site, name: str) -> None:
    """A client must refuse a target whose name leads out of its folder, on any system.

    See CVE-2021-41131 and CVE-2021-41149.
    """
    site.accepted()
    site.name_pins(3)
    site.add_target(name, b"-----")
    site.publish()
    site.refused("refused", timestamp=2, snapshot=2, targets=2)


for _name in (
    "../ca.pem",
    "/etc/ca.pem",
    "a/../../ca.pem",
    "a//ca.pem",
    ".",
    "a\\ca.pem",
    "c:ca.pem",
):
    case("5.7", name=f"a target with the name {_name}")(
        lambda site, name=_name: _named(site, name)  # type: ignore[misc]
    )
