"""Events between two updates of an app: regular publishing, and attacks.

Each function of the module changes the publisher, a ``Bank``, or the files on its server.
"""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner

from certpin.formats.flutter.published import PINS_JSON
from certpin.pins import Pin
from tests.updates.test_attacks import ATTACKS, LONG_AGO, mix_a_file_of_another_moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.formats.flutter.signed_vectors import Bank

SOMEBODY = Pin.parse("sha256/" + "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=")


def nothing_new(bank: Bank) -> None:
    pass


def the_daily_timestamp(bank: Bank) -> None:
    bank.now += timedelta(days=1)
    bank.repository.now += timedelta(days=1)
    bank.repository.publish_timestamp()


def the_next_version(bank: Bank) -> None:
    bank.publish(3)


def every_key_is_replaced(bank: Bank) -> None:
    for role in ("root", "targets", "online"):
        bank.repository.rotate(role)
    bank.publish(3)


def a_new_root_alone(bank: Bank) -> None:
    bank.repository.rotate("root")
    bank.repository.publish_timestamp()


def two_keys_of_two(bank: Bank) -> None:
    bank.repository.keys["targets"].append(CryptoSigner.generate_ecdsa())
    bank.repository.threshold = 2
    bank.repository.rotate()
    bank.publish(3)


def a_signature_by_nobody_beside_the_right_one(bank: Bank) -> None:
    bank.repository.keys["targets"].append(CryptoSigner.generate_ecdsa())  # no root names it
    bank.publish(3)


def keys_on_another_curve(bank: Bank) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    bank.repository.keys["targets"] = [CryptoSigner(ec.generate_private_key(ec.SECP384R1()))]
    bank.repository.rotate()
    bank.publish(3)


def names_without_digests(bank: Bank) -> None:
    bank.repository.digests = False
    bank.publish(3)


def fields_that_nobody_knows(bank: Bank) -> None:
    """Add unknown fields to the signed targets, which TUF allows.

    Names beyond the first Unicode plane sort by code points.
    """

    def add(targets: Any) -> None:
        odd = {"\U0001f511": 1, "\uff21": [True, None, -7], 'a"\\\n': {}}
        targets.unrecognized_fields.update(odd)

    custom = {"pin-set": "bank", "version": 2}
    bank.repository.publish_targets(bank.repository.files, custom, change=add)
    bank.repository.publish_online()


def freeze(bank: Bank) -> None:
    """Let the server present the same files after the expiry of their timestamp."""
    bank.now += timedelta(days=4)


def freeze_at_the_very_moment(bank: Bank) -> None:
    bank.now = bank.repository.read("timestamp").signed.expires


def roll_back_the_daily_timestamp(bank: Bank) -> None:
    """Present an older timestamp, which names the same metadata as the newer one."""
    old = bank.repository.path("timestamp").read_bytes()
    bank.repository.publish_timestamp()
    bank.let_follow()
    bank.repository.path("timestamp").write_bytes(old)


def sign_the_same_version_twice(bank: Bank) -> None:
    """Replace the targets by other ones of the same version, validly signed.

    The snapshot names the first ones.
    """
    bank.publish(3)
    bank.repository.versions["targets"] -= 1
    bank.repository.now += timedelta(seconds=1)
    bank.repository.publish_targets(bank.repository.files, {"pin-set": "bank", "version": 3})


def freeze_what_is_newer(bank: Bank) -> None:
    bank.publish(3)
    bank.now += LONG_AGO


def go_back_in_one_version(bank: Bank) -> None:
    bank.publish(3)
    bank.let_follow()
    bank.publish(2)


def change_what_has_the_same_version(bank: Bank) -> None:
    bank.publish(2, pin=SOMEBODY)


def sign_for_another_app(bank: Bank) -> None:
    bank.repository.publish_targets(bank.repository.files, {"pin-set": "casino", "version": 3})
    bank.repository.publish_online()


def say_another_version_than_inside(bank: Bank) -> None:
    bank.repository.publish_targets(bank.repository.files, {"pin-set": "bank", "version": 3})
    bank.repository.publish_online()


def _change_targets(bank: Bank, change: Callable[[Any], None]) -> None:
    files = bank.repository.files | {"ca.pem": b"x"}
    custom = {"pin-set": "bank", "version": 2}
    bank.repository.publish_targets(files, custom, change=change)
    bank.repository.publish_online()


def mix_two_versions_in_one(bank: Bank) -> None:
    def change(targets: Any) -> None:
        other = {"pin-set": "bank", "version": 3}
        targets.targets["ca.pem"].unrecognized_fields["custom"] = other

    _change_targets(bank, change)


def _named(name: str) -> Callable[[Bank], None]:
    def attack(bank: Bank) -> None:
        def change(targets: Any) -> None:
            targets.targets[name] = targets.targets.pop("ca.pem")

        _change_targets(bank, change)

    return attack


def promise_endless_pins(bank: Bank) -> None:
    def change(targets: Any) -> None:
        targets.targets[PINS_JSON].length = 2**40

    _change_targets(bank, change)


def promise_too_many_files(bank: Bank) -> None:
    def change(targets: Any) -> None:
        for number in range(64):
            targets.targets[f"{number}.pem"] = targets.targets["ca.pem"]

    _change_targets(bank, change)


def say_another_curve_than_the_keys(bank: Bank) -> None:
    """Let the root list a P-256 key under the signature scheme of P-384."""

    def change(root: Any) -> None:
        for name in root.roles["targets"].keyids:
            root.keys[name] = copy.copy(root.keys[name])
            root.keys[name].scheme = "ecdsa-sha2-nistp384"

    bank.repository.publish_root(bank.repository.keys["root"], change=change)
    bank.publish(3)


def sign_twice_under_one_name(bank: Bank) -> None:
    path = bank.repository.path("timestamp")
    data = json.loads(path.read_bytes())
    data["signatures"] *= 2
    path.write_text(json.dumps(data))


def need_no_signature(bank: Bank) -> None:
    path = bank.repository.path("timestamp")
    data = json.loads(path.read_bytes())
    data["signatures"] = []
    path.write_text(json.dumps(data))


def take_files_away(bank: Bank) -> None:
    bank.publish(3)
    bank.repository.path("targets").unlink()


def as_if_by_half_a_character(bank: Bank) -> None:
    """Add half a pair of surrogates to the timestamp, which some encoders write as U+FFFD."""
    bank.publish(3)
    path = bank.repository.path("timestamp")
    data = json.loads(path.read_bytes())
    data["signed"]["x"] = "\ud800"
    path.write_text(json.dumps(data))


_OURS: tuple[Callable[[Bank], None], ...] = (
    *(nothing_new, the_daily_timestamp, the_next_version, every_key_is_replaced, a_new_root_alone),
    *(two_keys_of_two, a_signature_by_nobody_beside_the_right_one, keys_on_another_curve),
    *(names_without_digests, fields_that_nobody_knows),
    *(freeze, freeze_at_the_very_moment, freeze_what_is_newer, go_back_in_one_version),
    *(roll_back_the_daily_timestamp, sign_the_same_version_twice),
    *(change_what_has_the_same_version, sign_for_another_app, say_another_version_than_inside),
    *(mix_two_versions_in_one, promise_endless_pins, promise_too_many_files),
    *(say_another_curve_than_the_keys, sign_twice_under_one_name, need_no_signature),
    *(take_files_away, as_if_by_half_a_character),
)
_NAMES = ("../up.pem", "/etc/passwd", "a//b", "a/..", ".", "a\\b", "c:ca.pem", "a\nb", "")
# That attack needs one file among the targets; another attack mixes two.
_THEIRS = [attack for attack in ATTACKS if attack is not mix_a_file_of_another_moment]

CASES: dict[str, Callable[[Any], None]] = {each.__name__: each for each in (*_OURS, *_THEIRS)} | {
    f"name a file {name!r}": _named(name) for name in _NAMES
}
