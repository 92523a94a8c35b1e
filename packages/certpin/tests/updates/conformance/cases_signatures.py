"""Conformance cases on signatures and thresholds of the roles below the root.

The sections of TUF 1.0.31 are 4.2, 5.4.2, 5.5.3 and 5.6.3.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from tests.updates.conformance._site import case, new_key

if TYPE_CHECKING:
    from typing import Any

    from tests.updates.conformance._site import Site

BELOW = ("timestamp", "snapshot", "targets")
# The versions that a client has stored when a new file of the role is refused, if all are new.
BEFORE: dict[str, dict[str, int]] = {
    "timestamp": {},
    "snapshot": {"timestamp": 2},
    "targets": {"timestamp": 2, "snapshot": 2},
}
# The keys of a role, its threshold, and the keys that sign: whether clients accept it.
_SIGNERS: dict[str, tuple[str, int, str, bool]] = {
    "by another key": ("b", 1, "b", True),
    "by unknown keys too": ("a", 1, "xay", True),
    "by three of five, the first": ("abcde", 3, "ace", True),
    "by three of five, others": ("abcde", 3, "bcd", True),
    "by three of five, the last": ("abcde", 3, "cde", True),
    "by five of five": ("abcde", 3, "abcde", True),
    "by the replaced key": ("b", 1, "axy", False),
    "by two of three": ("abcde", 3, "ae", False),
    "by two of three and an unknown key": ("abcde", 3, "axe", False),
    "by no key": ("a", 1, "", False),
}


def _sign(site: Site, role: str, names: str, threshold: int, signers: str, right: bool) -> None:
    site.accepted()
    keys = {letter: new_key() for letter in "abcdexy"}
    site.use_keys(role, [keys[name] for name in names], threshold)
    site.signers[role] = [keys[name] for name in signers]
    site.publish("root")
    site.publish()
    if right:
        site.accepted()
    else:
        site.refused("signature", root=2, **BEFORE[role])


def _swapped(site: Site, role: str, other: str) -> None:
    """A client must refuse the file of ``role`` if the key of the role ``other`` signed it."""
    site.accepted()
    site.signers[role] = site.signers[other]
    site.publish()
    site.refused("signature", **BEFORE[role])


def _changed(site: Site, role: str) -> None:
    """A client must refuse the file of ``role`` if a value changed after signing.

    No metadata names digests here, so only the signature shows the change.
    """
    site.digests = False
    site.accepted()
    site.publish()
    data = site.data(role)
    data["signed"]["expires"] = "2030-01-01T00:00:00Z"
    site.put_data(role, data)
    site.refused("signature", **BEFORE[role])


def _two_ids(site: Site, role: str) -> None:
    """A client must refuse two signatures of one key under two IDs if two keys must sign.

    ``tuf`` counts key IDs and accepts the file; certpin's Python and Dart clients count keys.
    """
    site.accepted()
    signer = site.signers[role][0]
    other = deepcopy(signer.public_key)
    other.keyid = "0" * 64
    site.signers[role] = [signer, CryptoSigner(signer._private_key, other)]
    site.use_keys(role, site.signers[role], 2)
    site.publish("root")
    site.publish()
    site.refused("signature", root=2, timestamp=2, snapshot=2, targets=2)


def _twice(site: Site, role: str) -> None:
    """A client must refuse a file with the same signature twice if two keys must sign.

    See CVE-2020-6174 and CVE-2020-15093.
    """
    site.digests = False
    site.accepted()
    keys = [*site.signers[role], new_key()]
    site.use_keys(role, keys, 2)
    site.publish("root")
    site.publish()
    data = site.data(role)
    data["signatures"] *= 2
    site.put_data(role, data)
    site.refused("signature or unreadable", root=2, **BEFORE[role])


def _zero(site: Site, role: str) -> None:
    """A client must refuse a root with a threshold of zero for ``role`` (CVE-2026-23992).

    Otherwise it would accept files without a signature.
    """
    site.accepted()

    def change(signed: dict[str, Any]) -> None:
        signed["roles"][role]["threshold"] = 0

    site.publish("root")
    site.resign("root", change)
    site.signers[role] = []
    site.publish()
    site.refused("unreadable or refused")


for _role in BELOW:
    for _name, _given in _SIGNERS.items():
        case("5.6.3", name=f"{_role} signed {_name}")(
            lambda site, role=_role, given=_given: _sign(site, role, *given)  # type: ignore[misc]
        )
    case("5.6.3", name=f"{_role} changed after signing")(
        lambda site, role=_role: _changed(site, role)  # type: ignore[misc]
    )
    case("4.2", name=f"{_role} signed by one key under two ids")(
        lambda site, role=_role: _two_ids(site, role)  # type: ignore[misc]
    )
    case("5.6.3", name=f"{_role} with one signature twice")(
        lambda site, role=_role: _twice(site, role)  # type: ignore[misc]
    )
    case("4.3", name=f"{_role} with a threshold of zero")(
        lambda site, role=_role: _zero(site, role)  # type: ignore[misc]
    )
for _role, _other in (
    ("targets", "timestamp"),
    ("targets", "snapshot"),
    ("snapshot", "timestamp"),
    ("snapshot", "targets"),
    ("timestamp", "snapshot"),
    ("timestamp", "root"),
):
    case("5.6.3", name=f"{_role} signed by the key of {_other}")(
        lambda site, role=_role, other=_other: _swapped(site, role, other)  # type: ignore[misc]
    )


@case("4.3")
def a_key_id_twice_in_a_role(site: Site) -> None:
    site.accepted()

    def change(signed: dict[str, Any]) -> None:
        signed["roles"]["snapshot"]["keyids"] *= 6
        signed["roles"]["snapshot"]["threshold"] = 6

    site.publish("root")
    site.resign("root", change)
    site.publish("snapshot", "timestamp")
    site.refused("unreadable or signature")


@case("5.4.2")
def a_wrong_signature_beside_enough_right_ones(site: Site) -> None:
    """A client must accept enough valid signatures beside a wrong one.

    The specification requires a threshold of valid signatures, and forbids no others.
    """
    site.accepted()
    right, other = site.signers["timestamp"][0], new_key()
    site.use_keys("timestamp", [right, other])
    site.publish("root")
    site.signers["timestamp"] = [right, other]
    for wrong in ("00" * 70, ""):
        site.publish("timestamp")
        data = site.data("timestamp")
        for signature in data["signatures"]:
            if signature["keyid"] == other.public_key.keyid:
                signature["sig"] = wrong
        site.put_data("timestamp", data)
        site.accepted()


@case("5.4.2")
def a_signature_that_is_no_signature(site: Site) -> None:
    site.accepted()
    for wrong in ("", "zz", "00", "00" * 70):
        site.publish("timestamp")
        data = site.data("timestamp")
        data["signatures"][0]["sig"] = wrong
        site.put_data("timestamp", data)
        site.refused("signature or unreadable")


@case("5.4.1")
def more_signatures_than_can_be_read(site: Site) -> None:
    """A client must refuse a file with many false signatures by its size limit (CVE-2020-6173).

    Thousands of signatures would otherwise keep the client busy.
    """
    site.accepted()
    site.publish("timestamp")
    data = site.data("timestamp")
    false = [{"keyid": f"{number:064x}", "sig": "00" * 70} for number in range(500)]
    data["signatures"] = false + data["signatures"]
    site.put_data("timestamp", data)
    site.refused("too-long")


def _key_kind(site: Site, signer: CryptoSigner) -> None:
    site.accepted()
    site.signers["root"].append(signer)
    site.use_keys("root", site.signers["root"], 2)
    site.publish("root", "timestamp")
    site.accepted()
    site.signers["root"].pop()
    site.publish("root", "timestamp")
    site.refused("signature")


_ONLY_ECDSA = "Dart verifies ECDSA on P-256 and P-384 (docs/decisions, 27)"


@case("4.2", dart=_ONLY_ECDSA)
def keys_of_ed25519(site: Site) -> None:
    _key_kind(site, CryptoSigner.generate_ed25519())


@case("4.2", dart=_ONLY_ECDSA)
def keys_of_rsa(site: Site) -> None:
    _key_kind(site, CryptoSigner.generate_rsa())


@case("4.2")
def keys_of_ecdsa_on_p384(site: Site) -> None:
    _key_kind(site, CryptoSigner(ec.generate_private_key(ec.SECP384R1())))


@case("4.2")
def a_key_with_unknown_fields(site: Site) -> None:
    """A client must accept a key with unknown fields.

    One of them is the old field ``keyid_hash_algorithms``, which must have no effect.
    """
    site.accepted()
    signer = new_key()
    signer.public_key.unrecognized_fields.update({"keyid_hash_algorithms": "md5", "x": {"a": 1}})
    site.signers["snapshot"] = [signer]
    site.use_keys("snapshot", [signer])
    site.publish("root", "snapshot", "timestamp")
    site.accepted()


@case("4.2")
def a_key_of_another_kind_than_its_scheme(site: Site) -> None:
    """A client must refuse signatures by a key whose scheme doesn't fit its kind (CVE-2015-9258).

    The key in the root determines the algorithm.
    """
    site.accepted()
    name = site.signers["targets"][0].public_key.keyid
    site.publish("root")
    site.resign("root", lambda signed: signed["keys"][name].update(scheme="ecdsa-sha2-nistp384"))
    site.publish()
    site.refused("signature", root=2, timestamp=3, snapshot=2)


@case("4.2")
def a_signature_that_names_another_algorithm(site: Site) -> None:
    """A client must ignore the unknown field of a signature that names another algorithm."""
    site.accepted()
    site.publish("timestamp")
    data = site.data("timestamp")
    data["signatures"][0]["method"] = "rsassa-pss-sha256"
    site.put_data("timestamp", data)
    site.accepted()
