"""The cached pin set (the last known good one): how an updater verifies it when an app starts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from certpin import PinSet, UpdateError
from certpin.updates import Limits
from certpin.updates.cache import decode, encode
from certpin.updates.refusals import update_errors
from certpin.updates.trust import CachedSet, SignedMetadata, follow_roots, verify
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, Repository, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority
    from certpin.updates import PinUpdater
    from certpin.updates.trust import SignedSet
    from tests.updates.conftest import World

GOOD = "last-known-good.json"


@pytest.fixture
def offline(world: World) -> World:
    """Return a bank whose app fetched version 2, and whose server then fails with status 503."""
    world.updater().refresh()
    world.server.answers[""] = lambda handler: handler.answer(503, b"")
    return world


def put_aside(world: World) -> bool:
    return (world.cache / f"{GOOD}.bad").exists() and not (world.cache / GOOD).exists()


def is_refused(world: World, **fields: Any) -> UpdateError:
    """Assert that an app starts with its bundled set, not the cache; return the cache error."""
    app = world.updater(**fields)
    assert app.context.pins == fields.get("pins", world.bundled())
    assert app.status.state == "embedded"
    error = app.status.cache_error
    assert error is not None
    return error


def test_a_cached_set_is_in_force_at_start_without_a_network(offline: World) -> None:
    app = offline.updater()
    assert app.context.pins == PinSet.parse(offline.text(2))
    assert (app.status.state, app.status.version) == ("fresh", 2)
    assert app.status.checked is None
    assert app.status.cache_error is None


def test_a_cached_set_stays_in_force_after_its_metadata_expire(offline: World) -> None:
    offline.now += timedelta(days=1000)
    app = offline.updater()
    assert (app.status.state, app.status.version) == ("soft-stale", 2)
    with pytest.raises(UpdateError):
        app.refresh()
    assert (app.status.state, app.status.version) == ("soft-stale", 2)


def test_a_newer_set_in_the_app_is_used(offline: World) -> None:
    app = offline.updater(pins=offline.bundled(3))
    assert (app.status.state, app.status.version) == ("embedded", 3)
    assert app.status.cache_error is None
    assert (offline.cache / GOOD).exists()


def test_an_app_with_a_newer_set_than_the_server_reports_it(world: World) -> None:
    world.updater().refresh()
    app = world.updater(pins=world.bundled(3))
    for _ in range(2):
        with pytest.raises(UpdateError, match="version 2 of the pin set was signed, and 3 is in"):
            app.refresh()
    world.publish(4)
    assert app.refresh().state == "fresh"


def test_an_app_that_contains_the_newest_set_is_fresh(offline: World) -> None:
    assert offline.updater(pins=offline.bundled(2)).status.state == "fresh"


def test_an_app_with_a_debug_section_keeps_it_while_the_pins_are_the_same(
    world: World, root: Authority
) -> None:
    text = world.text(2) + '\n[debug]\nanchors = "proxy.pem"\n'
    pins = PinSet.parse(text, files={"proxy.pem": root.pem})
    app = world.updater(pins=pins)
    assert app.refresh().state == "fresh"
    assert app.context.pins.debug is not None
    world.publish(3)
    app.refresh()
    assert app.context.pins.debug is None


def test_another_set_of_the_same_version_in_the_app_is_used(offline: World) -> None:
    pins = PinSet.parse(pin_file(2, {CHANNEL: offline.identity.pin}))
    assert is_refused(offline, pins=pins).reason == "changed"


def test_a_newer_root_in_the_app_replaces_older_ones(world: World) -> None:
    world.updater().refresh()
    world.repository.rotate("targets", "online")
    world.publish(3)
    newest = world.repository.path("root").read_bytes()
    app = world.updater(root=newest)
    assert app.refresh().version == 3
    assert world.updater(root=newest).status.state == "fresh"


def test_a_set_of_keys_that_the_apps_root_has_replaced_is_no_attack(
    offline: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A new release brings a later root. Processes of the old one still use the stored set."""
    offline.repository.rotate("targets", "online")
    newest = offline.repository.path("root").read_bytes()
    error = is_refused(offline, root=newest)
    assert error.reason == "replaced"
    assert "signed under root 1, and the app now has root 2" in error.problem
    assert {each.levelname for each in caplog.records if each.name == "certpin.updates"} == {
        "WARNING"
    }
    assert offline.updater().status.version == 2


def test_only_the_owner_can_access_the_folder(offline: World) -> None:
    folders = [offline.cache, *(path for path in offline.cache.rglob("*") if path.is_dir())]
    assert {path.name for path in folders} == {offline.cache.name, "metadata", "root_history"}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert ((offline.cache / GOOD).stat().st_mode & 0o777) == 0o600


@pytest.mark.medium
def test_every_root_since_the_apps_root_is_followed(world: World) -> None:
    for version in range(3, 6):
        world.repository.rotate("root", "targets", "online")
        world.publish(version)
        world.updater().refresh()
    app = world.updater()
    assert (app.status.state, app.status.version) == ("fresh", 5)


@pytest.mark.parametrize("version", [2, 3])
def test_a_cached_set_without_its_roots_is_refused(world: World, version: int) -> None:
    for _ in range(2):
        world.repository.rotate("root", "targets", "online")
    world.publish(3)
    world.updater().refresh()
    (world.cache / f"metadata/root_history/{version}.root.json").unlink()
    assert is_refused(world).reason == "signature"
    assert put_aside(world)
    assert world.updater().refresh().version == 3


def test_a_root_that_does_not_follow_is_refused(world: World) -> None:
    """An attacker without keys replaces the folder by one with another publisher's roots."""
    world.updater().refresh()
    other = Repository(world.cache.parent / "other")
    other.rotate()
    other.publish(pin_file(9, {CHANNEL: world.identity.pin, HOST: world.identity.pin}))
    other_app = world.updater(
        root=other.first_root, cache=world.cache.parent / "theirs", url=world.server.url
    )
    world.server.folder = other.folder
    other_app.refresh()
    shutil.rmtree(world.cache)
    shutil.copytree(world.cache.parent / "theirs", world.cache)
    assert is_refused(world).reason == "signature"


def interrupted(world: World) -> PinUpdater:
    """Return an app that fetched a root with new keys, and whose update then failed."""
    app = world.updater()
    app.refresh()
    world.repository.rotate("targets", "online")
    world.repository.resign()
    world.server.answers["metadata/timestamp"] = lambda handler: handler.answer(200, b"{}")
    with pytest.raises(UpdateError):
        app.refresh()
    assert (world.cache / "metadata/root_history/2.root.json").exists()
    world.server.answers.clear()
    return app


def test_a_new_root_without_a_new_set_keeps_the_set_in_force(world: World) -> None:
    """After an interrupted update, the cached set stays in force in the state ``soft-stale``.

    The next refresh fetches the newest set.
    """
    interrupted(world)
    world.server.taken()
    app = world.updater()
    assert (app.status.state, app.status.version) == ("soft-stale", 2)
    assert app.status.cache_error is None
    assert app.refresh().state == "fresh"
    assert len(world.server.taken()) > 1


def test_a_set_of_replaced_keys_is_not_the_newest(world: World) -> None:
    """An attacker with the replaced online key replays the old timestamp; the refresh fails."""
    old = world.repository.path("timestamp").read_bytes()
    interrupted(world)
    world.repository.path("timestamp").write_bytes(old)
    app = world.updater()
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "signature"
    assert (app.status.state, app.status.version) == ("soft-stale", 2)


def test_a_set_signed_by_no_root_of_the_chain_is_refused(world: World) -> None:
    """The cache file names the version of the root under which its set was valid.

    A version for which there is no verified root, or a wrong one, is refused.
    """
    interrupted(world)
    path = world.cache / GOOD
    data = json.loads(path.read_bytes())
    for root in (0, 2, 3, -1):
        path.write_text(json.dumps(data | {"root": root}))
        assert is_refused(world).reason == "signature"


def emptied(data: bytes) -> bytes:
    return b""


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


def of_another_schema(data: bytes) -> bytes:
    return data.replace(b'"schema": 1', b'"schema": 2')


def without_a_part(data: bytes) -> bytes:
    top = json.loads(data)
    del top["metadata"]["snapshot"]
    return json.dumps(top).encode()


def with_another_file(data: bytes) -> bytes:
    top = json.loads(data)
    top["files"]["evil.pem"] = "AAAA"
    return json.dumps(top).encode()


def without_a_file(data: bytes) -> bytes:
    return json.dumps(json.loads(data) | {"files": {}}).encode()


def that_is_a_list(data: bytes) -> bytes:
    return b"[" + data + b"]"


def that_is_deep(data: bytes) -> bytes:
    return b"[" * 100_000


def that_is_too_long(data: bytes) -> bytes:
    return data + b" " * (60 * 1024 * 1024)


def with_a_number_that_python_refuses(data: bytes) -> bytes:
    return data.replace(b'"schema": 1', b'"schema": ' + b"9" * 5000)


DAMAGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (emptied, "cache"),
    (halved, "cache"),
    (of_another_schema, "cache"),
    (without_a_part, "cache"),
    (that_is_a_list, "cache"),
    (that_is_deep, "cache"),
    (that_is_too_long, "cache"),
    (with_a_number_that_python_refuses, "cache"),
    (with_another_file, "refused"),
    (without_a_file, "refused"),
]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("damage", "reason"), DAMAGES, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_damaged_file_is_moved_aside_and_reported(
    world: World, damage: Callable[[bytes], bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.updater().refresh()
    path = world.cache / GOOD
    path.write_bytes(damage(path.read_bytes()))
    assert is_refused(world).reason == reason
    assert put_aside(world)
    assert [each for each in caplog.records if each.name == "certpin.updates"]
    app = world.updater()
    assert app.refresh().version == 2
    assert app.status.cache_error is None
    assert world.updater().status.version == 2


@pytest.mark.medium
def test_only_one_invalid_set_is_kept_aside(world: World) -> None:
    for _ in range(3):
        world.updater().refresh()
        (world.cache / GOOD).write_bytes(b"")
        world.updater()
    assert len(list(world.cache.iterdir())) <= 4


def test_a_folder_in_place_of_a_cache_file_is_refused(world: World) -> None:
    world.updater().refresh()
    (world.cache / GOOD).unlink()
    (world.cache / GOOD).mkdir()
    assert is_refused(world).reason == "storage"


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", [GOOD, "metadata/root_history/2.root.json", "metadata/timestamp.json", "lock"]
)
def test_a_pipe_in_the_cache_does_not_block(world: World, name: str) -> None:
    import os

    world.updater().refresh()
    (world.cache / name).unlink(missing_ok=True)
    os.mkfifo(world.cache / name)
    world.publish(3)
    assert world.updater().refresh().version == 3
    assert world.updater().status.version == 3


@pytest.mark.medium
@pytest.mark.parametrize(
    "name",
    ["timestamp.json", "snapshot.json", "targets.json", "root.json", "root_history/1.root.json"],
)
def test_a_folder_in_place_of_metadata_does_not_end_updates(world: World, name: str) -> None:
    world.updater().refresh()
    path = world.cache / "metadata" / name
    path.unlink()
    (path / "full").mkdir(parents=True)
    (world.cache / GOOD).unlink()
    app = world.updater()
    for version in (2, 3):
        world.publish(version)
        status = app.refresh()
        assert (status.version, status.state) == (version, "fresh")


def test_a_cache_that_becomes_unusable_is_reported_until_the_set_is_stored_again(
    world: World,
) -> None:
    app = world.updater()
    app.refresh()
    shutil.rmtree(world.cache)
    world.cache.write_bytes(b"")
    for _ in range(2):
        error = app.refresh().cache_error
        assert error is not None
        assert error.reason == "storage"
    world.cache.unlink()
    assert app.refresh().cache_error is None
    assert world.updater().status.version == 2


def test_a_running_app_replaces_a_damaged_file(world: World) -> None:
    app = world.updater()
    app.refresh()
    (world.cache / GOOD).write_bytes(b"")
    assert app.refresh().cache_error is None
    assert world.updater().status.version == 2


@pytest.mark.parametrize("kind", ["a file", "a dangling link", "a link to itself"])
def test_no_folder_for_roots_does_not_end_updates(world: World, kind: str) -> None:
    world.updater().refresh()
    path = world.cache / "metadata/root_history"
    shutil.rmtree(path)
    if kind == "a file":
        path.write_bytes(b"")
    else:
        path.symlink_to("nowhere" if kind == "a dangling link" else "root_history")
    (world.cache / GOOD).unlink()
    app = world.updater()
    status = app.refresh()
    assert (status.version, status.state) == (2, "fresh")
    assert status.cache_error is not None
    assert status.cache_error.reason == "storage"


def test_endless_metadata_is_not_read(world: World) -> None:
    """Cached metadata is read only up to a limit, also from /dev/zero.

    ``tuf.ngclient`` reads the whole file.
    """
    world.updater().refresh()
    path = world.cache / "metadata/timestamp.json"
    path.unlink()
    path.symlink_to("/dev/zero")
    (world.cache / "metadata/targets.json").unlink()
    (world.cache / "metadata/targets.json").symlink_to("nowhere")
    with (world.cache / "metadata/snapshot.json").open("wb") as file:
        file.truncate(10**12)
    world.publish(3)
    assert world.updater().refresh().version == 3
    assert not path.is_symlink()


def test_other_files_in_the_folder_are_kept(world: World) -> None:
    """The app, or another program, has other files below the cache folder."""
    own = [
        "metadata/customers.json",
        "metadata/2026/orders.json",
        "metadata/2026/1.root.json",
        "metadata/root_history/mine.root.json",
        "metadata/root_history/index.json",
        "metadata/tmp-upload.csv",
        "metadata/tmp_notes.txt",
        f".{GOOD}.bak",
    ]
    for name in own:
        (world.cache / name).parent.mkdir(parents=True, exist_ok=True)
        (world.cache / name).write_bytes(b"x" * 1_000_000)
    world.updater().refresh()
    world.publish(3)
    assert world.updater().refresh().version == 3
    assert [name for name in own if not (world.cache / name).exists()] == []


@pytest.mark.medium
@pytest.mark.parametrize("link", ["metadata", "metadata/root_history"])
def test_a_folder_that_is_a_link_is_not_used(world: World, link: str) -> None:
    """An attacker who can write to the cache folder makes the app change files elsewhere."""
    home = world.cache.parent / "home"
    (home / "root_history").mkdir(parents=True)
    files = ["timestamp.json", "9.root.json", "root_history/9.root.json", "tmp12345678"]
    for name in files:
        (home / name).write_bytes(b"x" * 1_000_000)
    (world.cache / link).parent.mkdir(parents=True, exist_ok=True)
    (world.cache / link).symlink_to(home)
    before = sorted(home.rglob("*"))
    app = world.updater()
    status = app.refresh()
    assert (status.version, status.state) == (2, "fresh")
    assert status.cache_error is not None
    assert status.cache_error.reason == "storage"
    assert f"{link.rpartition('/')[2]} is a symbolic link" in status.cache_error.problem
    assert sorted(home.rglob("*")) == before
    assert {len((home / name).read_bytes()) for name in files} == {1_000_000}
    (world.cache / link).unlink()
    assert app.refresh().cache_error is None


def test_a_lock_that_is_a_link_is_not_followed(world: World) -> None:
    world.cache.mkdir()
    elsewhere = world.cache.parent / "elsewhere"
    (world.cache / "lock").symlink_to(elsewhere)
    assert world.updater().refresh().version == 2
    assert not elsewhere.exists()


def test_a_link_in_place_of_the_set_is_replaced_not_followed(world: World) -> None:
    world.cache.mkdir()
    elsewhere = world.cache.parent / "elsewhere"
    elsewhere.write_bytes(b"mine")
    (world.cache / GOOD).symlink_to(elsewhere)
    assert world.updater().refresh().version == 2
    assert elsewhere.read_bytes() == b"mine"
    assert world.updater().status.version == 2


def test_the_set_of_another_app_in_the_same_folder_is_not_used(world: World) -> None:
    world.updater().refresh()
    pins = PinSet.parse(pin_file(1, {CHANNEL: world.identity.pin}, name="casino"))
    error = is_refused(world, pins=pins)
    assert error.reason == "refused"
    assert "'bank', not 'casino'" in error.problem


# The data that Hypothesis damages: created once, verified without a disk.


class Stored:
    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder)
        self.repository.publish(pin_file(2, {CHANNEL: kit.NOBODY_ELSE, HOST: kit.NOBODY_ELSE}))
        roles = ("timestamp", "snapshot", "targets")
        signed = SignedMetadata(*(self.repository.path(role).read_bytes() for role in roles))
        self.roots = follow_roots(self.repository.first_root, (), "bank")
        self.good = self.believed(CachedSet(1, signed, self.repository.files))
        self.data = encode(self.good)

    def believed(self, kept: Any) -> SignedSet:
        with update_errors():
            return verify(self.roots, kept, "bank", Limits())


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("stored") / "site")


def test_written_settings_are_read_back(stored: Stored) -> None:
    assert stored.believed(decode(stored.data)) == stored.good


def only_good(stored: Stored, data: bytes) -> None:
    """Assert that the cached set in ``data`` is refused, or has the content of the good set.

    Some bytes have no meaning: a digit of a signature may be a capital.
    """
    try:
        found = stored.believed(decode(data))
    except UpdateError:
        return
    verified = replace(found.verified, signed=stored.good.verified.signed)
    assert replace(found, verified=verified) == stored.good


any_place = st.floats(0, 1, exclude_max=True)


@given(place=any_place, bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(stored: Stored, place: float, bit: int) -> None:
    data = bytearray(stored.data)
    data[int(place * len(data))] ^= 1 << bit
    only_good(stored, bytes(data))


@pytest.mark.parametrize("number", [-1, 0, 2, 10**30])
def test_a_number_of_a_root_that_does_not_exist_is_harmless(stored: Stored, number: int) -> None:
    """The number is not signed; the limit for jumps of the version depends on it."""
    data = stored.data.replace(b'"root": 1,', b'"root": %d,' % number)
    assert data != stored.data
    assert stored.believed(decode(data)) == stored.good


@given(places=st.tuples(any_place, any_place), other=st.binary(max_size=40))
def test_a_replaced_part_is_refused_or_harmless(
    stored: Stored, places: tuple[float, float], other: bytes
) -> None:
    first, last = sorted(int(place * len(stored.data)) for place in places)
    only_good(stored, stored.data[:first] + other + stored.data[last:])


@given(end=any_place)
def test_a_truncated_cache_is_refused(stored: Stored, end: float) -> None:
    with pytest.raises(UpdateError):
        decode(stored.data[: int(end * (len(stored.data) - 1))])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.medium
@given(top=json_values)
@example({"schema": 1, "root": 1, "metadata": {}, "files": {}})
@example({"schema": True, "root": 1, "metadata": {}, "files": {}})
def test_any_json_raises_only_the_typed_error(stored: Stored, top: Any) -> None:
    only_good(stored, json.dumps(top).encode())


@pytest.mark.medium
@given(
    role=st.sampled_from(SignedMetadata._fields),
    key=st.sampled_from(["signed", "signatures"]),
    value=json_values,
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_metadata_raises_only_the_typed_error(
    stored: Stored, role: str, key: str, value: Any
) -> None:
    kept = decode(stored.data)
    data = json.loads(getattr(kept.signed, role)) | {key: value}
    signed = kept.signed._replace(**{role: json.dumps(data).encode()})
    only_good(stored, encode_parts(stored, signed))


def encode_parts(stored: Stored, signed: SignedMetadata) -> bytes:
    verified = replace(stored.good.verified, signed=signed)
    return encode(replace(stored.good, verified=verified))


@given(data=st.binary(max_size=200))
def test_any_bytes_raise_only_the_typed_error(stored: Stored, data: bytes) -> None:
    only_good(stored, data)
