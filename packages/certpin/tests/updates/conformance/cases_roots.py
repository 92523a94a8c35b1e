"""Conformance cases on root metadata: TUF 1.0.31, section 5.3."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from securesystemslib.signer import CryptoSigner

from tests.updates.conformance._site import DAY, NONE, case, new_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.updates.conformance._site import Site


@case("5.3.3")
def without_a_newer_root(site: Site) -> None:
    site.accepted()
    site.accepted()


@case("5.3.4")
def a_root_with_other_keys(site: Site) -> None:
    site.accepted()
    old, new = site.signers["root"][0], new_key()
    site.use_keys("root", [new])
    site.signers["root"] = [old, new]
    site.publish("root", "timestamp")
    site.accepted()
    site.signers["root"] = [new]
    site.publish("root", "timestamp")
    site.accepted()


@case("5.3.4")
def a_root_that_the_old_keys_have_not_signed(site: Site) -> None:
    site.accepted()
    site.signers["root"] = [new_key()]
    site.use_keys("root", site.signers["root"])
    site.publish("root", "timestamp")
    site.refused("signature")


@case("5.3.4")
def a_root_that_its_own_keys_have_not_signed(site: Site) -> None:
    site.accepted()
    site.use_keys("root", [new_key()])
    site.publish("root", "timestamp")
    site.refused("signature")


@case("5.3.4")
def a_root_without_a_signature(site: Site) -> None:
    site.signers["root"] = []
    site.publish("root", "timestamp")
    site.refused("signature", root=1)


@case("5.3.5")
def a_root_whose_version_skips_one(site: Site) -> None:
    site.accepted()
    site.root.version = 2
    site.publish("root", "timestamp")
    site.files["metadata/2.root.json"] = site.files["metadata/3.root.json"]
    site.refused("rollback")


@case("5.3.5")
def the_first_root_as_the_second(site: Site) -> None:
    site.accepted()
    site.files["metadata/2.root.json"] = site.first_root
    site.publish("timestamp")
    site.refused("rollback")


@case("5.3.5")
def an_older_root_as_the_next(site: Site) -> None:
    site.publish("root", "timestamp")
    site.accepted()
    site.files["metadata/3.root.json"] = site.first_root
    site.publish("timestamp")
    site.refused("rollback")


@case("5.3.8")
def what_comes_after_a_wrong_root_is_not_read(site: Site) -> None:
    """A client stores roots one by one, so it keeps the valid root before a wrong one."""
    site.accepted()
    site.publish("root")
    right = site.signers["root"]
    site.signers["root"] = [new_key()]
    site.publish("root")
    site.signers["root"] = right
    site.publish("root", "timestamp")
    site.refused("signature", root=2)


@case("5.3.9")
def many_roots_in_one_refresh(site: Site) -> None:
    site.accepted()
    for _ in range(12):
        old = site.signers["root"][-1]
        site.signers["root"] = [old, new_key()]
        site.use_keys("root", site.signers["root"][1:])
        site.publish("root")
    site.publish("timestamp")
    site.accepted()


@case("5.3.9")
def an_expired_root_in_between(site: Site) -> None:
    """A client must accept an expired intermediate root, because it may be offline for years."""
    site.accepted()
    until = site.root.expires
    site.root.expires = site.now - DAY
    site.publish("root")
    site.root.expires = until
    site.publish("root", "timestamp")
    site.accepted()


@case("5.3.10")
def an_expired_root(site: Site) -> None:
    """A client stores a correctly signed root although it has expired, and then stops.

    It accepts no other file.
    """
    site.accepted()
    site.root.expires = site.now - DAY
    site.publish("root")
    site.publish()
    site.refused("expired", root=2)


@case("5.3.10")
def a_root_that_expires_now(site: Site) -> None:
    site.root.expires = site.now
    site.publish("root", "timestamp")
    site.refused("expired", root=2)


@case("5.3.10")
def a_newer_root_after_the_last_one_has_expired(site: Site) -> None:
    site.root.expires = site.now + 7 * DAY
    site.publish("root", "timestamp")
    site.accepted()
    site.now += 8 * DAY
    site.refused("expired")
    site.root.expires = site.now + 7 * DAY
    site.publish("root", "timestamp")
    site.accepted()


@case("4.3")
def a_role_without_enough_keys(site: Site) -> None:
    """The root names two keys for the snapshot and a threshold of 3, which no file can reach."""
    site.accepted()
    keys = [*site.signers["snapshot"], new_key()]
    site.use_keys("snapshot", keys, 3)
    site.signers["snapshot"] = keys
    site.publish("root", "snapshot", "timestamp")
    site.refused("signature", root=2, timestamp=2)


@case("4.2")
def a_root_key_under_two_ids_is_one(site: Site) -> None:
    """A root key that is listed under two IDs counts as one key.

    The author of a root chooses the IDs. ``tuf`` counts IDs, and so it stores the root.
    """
    site.accepted()
    signer = site.signers["root"][0]
    other = deepcopy(signer.public_key)
    other.keyid = "0" * 64
    twin = CryptoSigner(signer._private_key, other)
    site.signers["root"] = [signer, twin]
    site.use_keys("root", [signer, twin], 2)
    timestamp = new_key()
    site.signers["timestamp"] = [timestamp]
    site.use_keys("timestamp", [timestamp])
    site.publish("root", "timestamp")
    site.refused("signature", root=2, timestamp=2)


# Keys and threshold of each root, and the keys that sign it. The first root is the client's.
_HISTORIES: dict[str, tuple[Sequence[tuple[str, int, str]], bool]] = {
    "the key is replaced": ([("a", 1, "a"), ("b", 1, "ba"), ("b", 1, "b")], True),
    "other keys sign too": ([("a", 1, "xay"), ("b", 1, "xbay"), ("b", 1, "xby")], True),
    "any three of five": (
        [("abcde", 3, "ace"), ("abcde", 3, "aeb"), ("abcde", 3, "abd"), ("abcde", 3, "bcd")],
        True,
    ),
    "one of five is replaced": ([("abcde", 3, "ace"), ("abdef", 3, "abe")], True),
    "one of five is replaced, and both sets sign": (
        [("abcde", 3, "ace"), ("abdef", 3, "acef"), ("abdef", 3, "aef")],
        True,
    ),
    "all five are replaced": (
        [("abcde", 3, "ace"), ("fghij", 3, "acefgh"), ("fghij", 3, "fgh")],
        True,
    ),
    "the threshold rises": ([("abc", 1, "a"), ("abc", 2, "ab")], True),
    "the threshold falls": ([("abc", 2, "ab"), ("abc", 1, "ab"), ("abc", 1, "a")], True),
    "a second key, and both sign": ([("a", 1, "a"), ("ab", 2, "ab")], True),
    "the old key is missing": ([("a", 1, "a"), ("b", 1, "bxy")], False),
    "the new key is missing": ([("a", 1, "a"), ("b", 1, "axy")], False),
    "two of three new keys": ([("abcde", 3, "ace"), ("abdef", 3, "ace")], False),
    "two of three old keys": ([("abcde", 3, "ace"), ("abdef", 3, "aef")], False),
    "the threshold rises, and too few sign": ([("abc", 1, "a"), ("abc", 2, "b")], False),
    "the threshold falls, and the old one counts": ([("abc", 2, "ab"), ("abc", 1, "a")], False),
}


def _history(site: Site, roots: Sequence[tuple[str, int, str]], right: bool) -> None:
    keys = {letter: new_key() for letter in "abcdefghijxy"}
    site.root.version = 0
    for names, threshold, signers in roots:
        site.use_keys("root", [keys[name] for name in names], threshold)
        site.signers["root"] = [keys[name] for name in signers]
        site.publish("root")
    site.first_root = site.files["metadata/1.root.json"]
    if right:
        site.accepted()
    else:
        site.refused("signature", root=len(roots) - 1, timestamp=NONE)


for _name, (_roots, _right) in _HISTORIES.items():
    case("5.3.4", name=f"roots: {_name}")(
        lambda site, roots=_roots, right=_right: _history(site, roots, right)  # type: ignore[misc]
    )
