"""Two pin sets with the same root key: the keys of one don't sign pins of the other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner

from certpin.errors import ConfigError, UpdateError
from certpin.updates.trust import follow_roots
from tests.updates._publisher import naming

if TYPE_CHECKING:
    from certpin.updates import PinUpdater
    from tests.updates._publisher import Repository
    from tests.updates.conftest import World


def begin(repository: Repository, name: object) -> None:
    """Replace the first root by one that names a pin set."""
    repository.versions["root"] = 0
    repository.publish_root(repository.keys["root"], change=naming(name))
    repository.first_root = repository.path("root").read_bytes()


def take_over(repository: Repository, name: object) -> None:
    """Publish the next root of another pin set, which has the same root key and other keys.

    An attacker with the other pin set's targets keys and online key, and with the update server,
    can do so.
    """
    repository.keys["targets"] = [CryptoSigner.generate_ecdsa()]
    repository.online = CryptoSigner.generate_ecdsa()
    repository.publish_root(repository.keys["root"], change=naming(name))


def refused(app: PinUpdater) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    return caught.value


@pytest.mark.medium
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"), [("bank", "casino"), ("bank", None), ("bank", ["bank"]), (None, "casino")]
)
def test_a_root_of_another_pin_set_is_refused(
    world: World, ours: object, theirs: object, warm: bool
) -> None:
    begin(world.repository, ours)
    app, keys = world.updater(), dict(world.repository.keys)
    online, held = world.repository.online, 2 if warm else 1
    if warm:
        app.refresh()
    take_over(world.repository, theirs)
    foreign = world.repository.path("root")
    world.publish(3)
    error = refused(app)
    assert (error.reason, "not 'bank'" in error.problem) == ("refused", True)
    assert app.context.pins.version == held
    foreign.unlink()  # the attack ends
    world.repository.keys, world.repository.online = keys, online
    world.repository.versions["root"] = 1
    world.publish(4)
    assert app.refresh().version == 4


@pytest.mark.medium
def test_no_root_without_a_name_follows_one_with_a_name_in_one_refresh(world: World) -> None:
    app = world.updater()
    for name in ("bank", None):
        world.repository.publish_root(world.repository.keys["root"], change=naming(name))
    world.publish(3)
    assert "root 3 is of the pin set None" in refused(app).problem
    stored = (world.cache / "metadata" / "root_history").glob("*.root.json")
    assert {path.name for path in stored} == {"1.root.json", "2.root.json"}


@pytest.mark.medium
def test_a_cached_root_of_another_pin_set_is_deleted(world: World) -> None:
    """Its author may have had access to the cache. ``tuf.ngclient`` would begin with it."""
    begin(world.repository, "bank")
    app = world.updater()
    app.refresh()
    keys = (world.repository.keys["targets"], world.repository.online)
    take_over(world.repository, "casino")
    cached = world.cache / "metadata" / "root_history" / "2.root.json"
    shutil.move(world.repository.path("root"), cached)
    world.repository.keys["targets"], world.repository.online = keys
    world.repository.versions["root"] = 1
    world.publish(3)
    assert app.refresh().version == 3
    assert not cached.exists()


@pytest.mark.medium
def test_the_root_in_the_app_has_to_be_of_its_pin_set(world: World) -> None:
    begin(world.repository, "casino")
    with pytest.raises(ConfigError, match="of the pin set 'casino', not 'bank'"):
        world.updater()


@pytest.mark.medium
def test_a_pin_set_without_a_name_in_its_root_gets_one(world: World) -> None:
    app = world.updater()
    app.refresh()
    world.repository.publish_root(world.repository.keys["root"], change=naming("bank"))
    world.publish(3)
    assert app.refresh().version == 3
    begin = world.repository.first_root
    assert len(follow_roots(begin, [world.repository.path("root").read_bytes()], "bank")) == 2
