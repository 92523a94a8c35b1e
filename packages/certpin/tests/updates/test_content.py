"""Pin sets that are signed by the right keys, but must be refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinSet, UpdateError
from certpin.lab.ct_log import LabLog, log_list
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Authority
    from tests.updates.conftest import World

OURS = {"pin-set": "bank", "version": 3}


def refused(world: World, **fields: Any) -> UpdateError:
    """Assert that an app refuses the published set and keeps its version; return the error."""
    app = world.updater(**fields)
    before = app.status.version
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert app.status.version == app.context.pins.version == before
    assert world.updater(**fields).status.version == before
    return caught.value


@pytest.fixture
def fetched(world: World) -> World:
    """Return a bank whose app has cached version 2 of the pin set and uses it."""
    world.updater().refresh()
    return world


def sign(world: World, files: dict[str, bytes], custom: Any = OURS, **fields: Any) -> None:
    world.repository.publish_targets(files, custom, **fields)
    world.repository.publish_online()


def pins_of(world: World, version: int = 3, **fields: Any) -> bytes:
    return world.text(version, **fields).encode()


def test_an_older_pin_set_is_refused(fetched: World) -> None:
    """The metadata is new, so TUF accepts it, but the pin set in it has an older version."""
    fetched.publish(1)
    error = refused(fetched)
    assert error.reason == "older"
    assert "version 1 of the pin set was signed, and 2 is in force" in error.problem
    assert "publish version 2 or a higher one" in error.fix


def test_another_pin_set_under_the_same_version_is_refused(fetched: World) -> None:
    fetched.publish(2, pin=kit.NOBODY)
    fetched.repository.publish(
        pin_file(2, {CHANNEL: fetched.identity.pin, HOST: fetched.identity.pin})
    )
    assert refused(fetched).reason == "changed"


def test_notes_of_the_apps_pins_are_no_other_pin_set(world: World) -> None:
    """The published copy of the app's pin file has no notes."""
    text = world.text(2)
    noted = text.replace("[[host.pin]]\n", '[[host.pin]]\nnote = "safe 4"\n')
    assert noted != text
    assert world.updater(pins=PinSet.parse(noted)).refresh().state == "fresh"


def test_the_same_pin_set_signed_again_is_accepted(fetched: World) -> None:
    fetched.publish(2)
    app = fetched.updater()
    assert app.refresh().version == 2
    assert app.status.error is None


def test_a_pin_set_with_another_name_is_refused(fetched: World) -> None:
    """The right keys signed the pin set, but it is for another app of the same publisher."""
    text = pin_file(3, {CHANNEL: fetched.identity.pin}, name="casino").encode()
    sign(fetched, {"pins.toml": text}, {"pin-set": "casino", "version": 3})
    error = refused(fetched)
    assert error.reason == "refused"
    assert "'casino', not 'bank'" in error.problem


@pytest.mark.parametrize(
    "custom",
    [
        {"pin-set": "bank", "version": 4},
        {"pin-set": "bank", "version": True},
        {"pin-set": "bank", "version": "3"},
        {"pin-set": "bank"},
        {"version": 3},
        {},
        None,
        "bank 3",
        ["bank", 3],
    ],
    ids=str,
)
def test_a_pin_file_that_differs_from_its_metadata_is_refused(fetched: World, custom: Any) -> None:
    sign(fetched, {"pins.toml": pins_of(fetched)}, custom)
    assert refused(fetched).reason in {"refused", "content"}


def test_a_set_with_files_of_two_versions_is_refused(fetched: World) -> None:
    def mix(targets: Any) -> None:
        targets.targets["ca.pem"].unrecognized_fields["custom"] = OURS | {"version": 2}

    files = {"pins.toml": pins_of(fetched), "ca.pem": b"x"}
    sign(fetched, files, change=mix)
    assert "do not all belong to one version" in refused(fetched).problem


def with_debug(world: World) -> bytes:
    return pins_of(world) + b'\n[debug]\nanchors = "ca.pem"\n'


def with_only_one_pin(world: World) -> bytes:
    return (
        pins_of(world).partition(b"\n[[host.pin]]")[0]
        + b'\n[[host.pin]]\npin = "'
        + (str(kit.NOBODY).encode() + b'"\n')
    )


BROKEN: dict[str, Callable[[World], bytes]] = {
    "a debug section": with_debug,
    "only one pin": with_only_one_pin,
    "no UTF-8": lambda world: pins_of(world) + b"# \xff\n",
    "no TOML": lambda world: pins_of(world) + b"[[[\n",
    "another schema": lambda world: pins_of(world).replace(b"schema = 1", b"schema = 2"),
    "another version inside": lambda world: pins_of(world, 4),
    "another name inside": lambda world: pins_of(world).replace(b'"bank"', b'"casino"'),
    "a byte order mark": lambda world: b"\xef\xbb\xbf" + pins_of(world),
    "a trust file that is not there": lambda world: pins_of(world, localhost='trust = "b.pem"'),
    "a trust file outside": lambda world: pins_of(world, localhost='trust = "../ca.pem"'),
    "a trust file of this machine": lambda world: pins_of(world, localhost='trust = "/etc/ca.pem"'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_unsafe_pin_file_is_refused(fetched: World, root: Authority, what: str) -> None:
    sign(fetched, {"pins.toml": BROKEN[what](fetched), "ca.pem": root.pem})
    error = refused(fetched)
    assert error.reason == "content"
    assert "must not be used" in error.problem
    assert "raise its version" in error.fix


def test_trust_files_are_fetched_with_the_pin_file(fetched: World, root: Authority) -> None:
    text = pins_of(fetched, localhost='trust = "authorities/own.pem"')
    sign(fetched, {"pins.toml": text, "authorities/own.pem": root.pem})
    app = fetched.updater()
    assert app.refresh().version == 3
    trust = app.context.pins.policy_for(CHANNEL).trust  # type: ignore[union-attr]
    assert trust is not None
    assert trust.der == (root.certificate.der,)
    again = fetched.updater()
    assert again.context.pins == app.context.pins
    again.refresh()  # through the new store


def test_the_list_of_logs_is_fetched_with_the_pin_file(fetched: World) -> None:
    logs = log_list([LabLog.make("Log A")], datetime(2027, 1, 1, tzinfo=UTC))
    text = pins_of(fetched, localhost="require_ct = true")
    named = text.replace(b"version = ", b'ct_logs = "logs.json"\nversion = ', 1)
    sign(fetched, {"pins.toml": named, "logs.json": json.dumps(logs.to_json()).encode()})
    app = fetched.updater()
    assert app.refresh().version == 3
    assert app.context.pins.ct_logs == logs
    assert fetched.updater().context.pins.ct_logs == logs  # from its cache


def test_a_file_name_is_quoted_in_the_address(fetched: World, root: Authority) -> None:
    name = "our own/authority #1 50% ünser.pem"
    text = pins_of(fetched, localhost=f'trust = "{name}"')
    sign(fetched, {"pins.toml": text, name: root.pem})
    assert fetched.updater().refresh().version == 3


def test_a_trust_file_has_the_size_limit_of_a_target(fetched: World, root: Authority) -> None:
    name = "metadata/own.pem"
    text = pins_of(fetched, localhost=f'trust = "{name}"')
    sign(fetched, {"pins.toml": text, name: b"#" * 20_000 + b"\n" + root.pem})
    assert fetched.updater().refresh().version == 3


@pytest.mark.medium
@pytest.mark.parametrize(
    "name",
    [
        "../up.pem",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "a/..",
        "..",
        ".",
        "a\\b",
        "c:ca.pem",
        "a\nb",
        "",
    ],
)
def test_a_target_name_outside_the_folder_is_refused(fetched: World, name: str) -> None:
    def rename(targets: Any) -> None:
        targets.targets[name] = targets.targets.pop("ca.pem")

    sign(fetched, {"pins.toml": pins_of(fetched), "ca.pem": b"x"}, change=rename)
    error = refused(fetched)
    assert error.reason == "refused"
    assert "is no name" in error.problem


def test_a_target_without_a_trusted_digest_is_refused(fetched: World) -> None:
    def weaken(targets: Any) -> None:
        targets.targets["pins.toml"].hashes = {"md5": "0" * 32}

    sign(fetched, {"pins.toml": pins_of(fetched)}, change=weaken)
    assert "has no hash" in refused(fetched).problem


def test_targets_without_a_pin_file_are_refused(fetched: World) -> None:
    sign(fetched, {"pins.json": b"{}"})
    assert "there is no pins.toml" in refused(fetched).problem


def test_empty_targets_are_refused(fetched: World) -> None:
    sign(fetched, {})
    assert "there is no pins.toml" in refused(fetched).problem


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"count": 2}, "there are 3 targets, and 2 are taken"),
        ({"target": 400}, "has 1000 bytes; 400 are taken"),
        ({"total": 1500}, "bytes, and 1500 are taken"),
    ],
)
def test_files_above_the_limits_are_not_fetched(
    fetched: World, limits: dict[str, int], said: str
) -> None:
    sign(fetched, {"pins.toml": pins_of(fetched), "a": b"x" * 1000, "b": b"y" * 1000})
    fetched.server.taken()
    error = refused(fetched, settings=fetched.limited(**limits))
    assert error.reason == "refused"
    assert said in error.problem
    assert not [path for path in fetched.server.taken() if "targets/" in path]


def test_files_at_the_limit_are_accepted(fetched: World) -> None:
    text = pins_of(fetched)
    sign(fetched, {"pins.toml": text, "a": b"x"})
    limits = {"count": 2, "target": len(text), "total": len(text) + 1}
    assert fetched.updater(settings=fetched.limited(**limits)).refresh().version == 3


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_metadata_above_the_limit_is_refused(world: World, role: str) -> None:
    world.repository.rotate()
    world.publish(3)
    app = world.updater(settings=world.limited(**{role: 100}))
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "too-long"
    assert "has more than 100 bytes" in caught.value.problem


def test_the_number_of_roots_in_one_refresh_is_limited(world: World) -> None:
    for _ in range(4):
        world.repository.rotate()
    world.publish(3)
    app = world.updater(settings=world.limited(rotations=2))
    app.refresh()
    assert sorted(path.name for path in world.cache.glob("metadata/root_history/*")) == [
        "1.root.json",
        "2.root.json",
        "3.root.json",
    ]
