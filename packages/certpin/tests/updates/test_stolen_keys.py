"""Stolen keys, and how clients recover once the root has replaced the keys."""

from __future__ import annotations

from base64 import b64encode
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import UnsignedMetadataError

from certpin.errors import UpdateError
from certpin.updates import trust
from certpin.updates.trust import LARGEST_JUMP

if TYPE_CHECKING:
    from certpin.updates import PinUpdater
    from tests.updates._publisher import Repository
    from tests.updates.conftest import World

HIGHEST = 2**63 - 1  # of a TOML integer
KEYS = ("root", "targets", "online")


def _version(updater: PinUpdater) -> int:
    return updater.context.pins.version


def _refused(updater: PinUpdater) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        updater.refresh()
    return caught.value


def _take_highest(world: World) -> PinUpdater:
    """Return an app that has an attacker's pin set of the highest version.

    The app fetched a new root before, because otherwise it would refuse the jump in versions.
    """
    world.repository.rotate("root")
    world.publish(HIGHEST)
    app = world.updater()
    app.refresh()
    assert _version(app) == HIGHEST
    return app


@pytest.mark.medium
def test_a_version_far_ahead_under_the_same_root_is_refused(world: World) -> None:
    app = world.updater()
    app.refresh()
    world.publish(2 + LARGEST_JUMP + 1)
    assert _refused(app).reason == "jump"
    assert _version(app) == 2
    assert _refused(world.updater(cache=world.cache / "empty", pins=world.bundled(2))).reason == (
        "jump"
    )
    world.publish(2 + LARGEST_JUMP)
    app.refresh()
    assert _version(app) == 2 + LARGEST_JUMP


def test_a_new_root_lets_versions_jump(world: World) -> None:
    app = world.updater()
    app.refresh()
    world.repository.rotate("root")
    world.publish(HIGHEST)
    app.refresh()
    assert _version(app) == HIGHEST


@pytest.mark.parametrize("restarted", [False, True])
def test_the_version_of_an_attacker_ends_with_the_stolen_key(world: World, restarted: bool) -> None:
    app = _take_highest(world)
    world.repository.rotate(*KEYS)
    world.publish(3)
    if restarted:
        app.close()
        app = world.updater()
        assert _version(app) == HIGHEST
        assert app.status.state == "fresh"  # no newer root is known yet
    before = app.status
    app.refresh()
    assert _version(app) == 3
    assert (before.recovered, app.status.recovered) == (False, True)
    assert app.status.state == "fresh"
    assert app.context.pins == world.updater().context.pins  # after another start, too


@pytest.mark.medium
def test_a_process_with_an_attackers_version_adopts_the_new_set(world: World) -> None:
    app = _take_highest(world)
    other = world.updater()
    assert _version(other) == HIGHEST
    world.repository.rotate(*KEYS)
    world.publish(3)
    app.refresh()
    other.refresh()
    assert _version(other) == 3
    assert other.status.recovered


@pytest.mark.medium
def test_the_bundled_set_stays_the_lowest_version(world: World) -> None:
    world.repository.rotate("root")
    world.publish(HIGHEST)
    app = world.updater(pins=world.bundled(5))
    app.refresh()
    world.repository.rotate(*KEYS)
    world.publish(4)
    assert _refused(app).reason == "older"
    assert _version(app) == HIGHEST
    world.publish(6)
    app.refresh()
    assert _version(app) == 6


@pytest.mark.medium
@pytest.mark.parametrize("roles", [("root",), ("online",), ("root", "online")])
def test_other_new_keys_do_not_let_versions_go_back(world: World, roles: tuple[str, ...]) -> None:
    app = world.updater()
    world.publish(7)
    app.refresh()
    world.repository.rotate(*roles)
    world.publish(6)
    assert _refused(app).reason == "older"
    assert _version(app) == 7


def test_an_added_key_does_not_let_versions_go_back(world: World) -> None:
    app = world.updater()
    world.publish(7)
    app.refresh()
    world.repository.keys["targets"].append(CryptoSigner.generate_ecdsa())
    world.repository.publish_root(world.repository.keys["root"])
    world.publish(6)
    assert _refused(app).reason == "older"


def test_a_revoked_key_is_detected_with_an_unchanged_timestamp(world: World) -> None:
    repository = world.repository
    app = world.updater(settings=world.quick(roots=timedelta(0)))
    app.refresh()
    repository.rotate("online")  # a new root; the attacker still serves the old timestamp
    assert _refused(app).reason == "signature"
    assert app.status.state == "soft-stale"
    assert world.updater().status.state == "soft-stale"  # also after a restart
    repository.publish_online()
    assert app.refresh().state == "fresh"


def test_the_next_root_is_requested_at_intervals(world: World) -> None:
    app = world.updater(settings=world.quick(roots=timedelta(hours=6)))
    app.refresh()
    world.server.taken()
    for hours, requests in ((1, 1), (5, 1), (6, 2), (11, 1), (12, 2)):
        world.now = world.now.replace(microsecond=0)
        start = world.repository.now + timedelta(minutes=1)
        world.now = start + timedelta(hours=hours)
        app.refresh()
        assert len(world.server.taken()) == requests, hours


def test_a_server_that_fails_to_answer_for_the_root_fails_the_check(world: World) -> None:
    app = world.updater(settings=world.quick(roots=timedelta(0)))
    app.refresh()
    world.server.answers["2.root"] = lambda handler: handler.send_error(500)
    assert _refused(app).reason == "http"


def _other_spelling(key: SSlibKey) -> SSlibKey:
    """Return a copy of a public key that has another key ID."""
    other = deepcopy(key)
    other.keyid = "0" * 64
    return other


def _sign_twice(repository: Repository) -> None:
    """Publish a root that requires two targets signatures, and names one key under two IDs."""
    (signer,) = repository.keys["targets"]
    twin = CryptoSigner(signer._private_key, _other_spelling(signer.public_key))
    repository.keys["targets"].append(twin)
    repository.threshold = 2
    repository.publish_root(repository.keys["root"])


def test_one_key_under_two_ids_is_one_signature(world: World) -> None:
    app = world.updater()
    app.refresh()
    _sign_twice(world.repository)
    world.publish(3)
    assert _refused(app).reason == "signature"
    assert _version(app) == 2


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_keys_are_counted_by_value_not_by_text(kind: str) -> None:
    key = getattr(CryptoSigner, f"generate_{kind}")().public_key
    other = _other_spelling(key)
    text = key.keyval["public"]
    other.keyval["public"] = text.upper() if kind == "ed25519" else f"\n{text.strip()}\n\n"
    third = CryptoSigner.generate_ecdsa().public_key
    assert len(trust.distinct([key, other, third])) == 2


def test_a_key_of_an_unknown_type_is_counted_by_its_text() -> None:
    """Another TUF tool may have listed it in a root. It signs nothing for certpin."""
    spki = bytes.fromhex("300c300506032b657f030300aabb")  # RFC 5280, 4.1: an unknown algorithm
    pem = f"-----BEGIN PUBLIC KEY-----\n{b64encode(spki).decode()}\n-----END PUBLIC KEY-----\n"
    key = SSlibKey("1", "unknown", "unknown", {"public": pem})
    assert trust.distinct([key]) == {pem.encode()}


def test_a_root_that_reaches_its_threshold_with_one_key_is_refused(world: World) -> None:
    repository = world.repository
    (signer,) = repository.keys["root"]
    twin = CryptoSigner(signer._private_key, _other_spelling(signer.public_key))
    repository.keys["root"].append(twin)

    def need_two(root: object) -> None:
        root.roles["root"].threshold = 2  # type: ignore[attr-defined]

    repository.publish_root(repository.keys["root"], change=need_two)
    first, second = repository.first_root, repository.path("root").read_bytes()
    assert len(trust.follow_roots(first, [second], "bank")) == 1
    with pytest.raises(UnsignedMetadataError):
        trust.follow_roots(second, [], "bank")


def test_a_superseded_set_does_not_allow_a_lower_version(world: World) -> None:
    app = world.updater()
    app.refresh()
    known = app._checker.enforced.known
    assert known is not None
    world.repository.rotate("targets")
    root = world.repository.read("root").signed
    assert trust.mark_recovery(known, known, root).recovers
    assert not trust.mark_recovery(replace(known, superseded=True), known, root).recovers
