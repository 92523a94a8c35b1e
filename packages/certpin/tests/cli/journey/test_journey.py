"""End-to-end rotations with real authorities, servers, signed pin sets, and twenty clients.

Keys are changed in the planned order, and all clients stay connected; in a wrong order, exactly
the simulated number of clients is locked out. T_adopt, the time in which every client gets a new
version, is eighteen seconds here instead of days. Everything else is as in production.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Identity
from certpin.lab.authority import new_key
from certpin.pinfile import PinSet
from tests.cli._rotating import APP, next_number
from tests.cli.journey._bank import API, SHOP, SITE, Bank, bank
from tests.cli.journey._client import Settings
from tests.cli.journey._fleet import Fleet, fleet
from tests.cli.journey._operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

pytestmark = [pytest.mark.peer("nginx", "pebble"), pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = range(20)  # each value of each setting occurs in several of them
BINARIES = range(15, 20)  # in the second half, these have only their bundled pins
DELAYS = ("--cdn", "0s", "--cache", "0s", "--poll", "4s", "--opened", "10s", "--skew", "4s")
SCHEDULE = """
schema = 1

[[step]]
act = "serve"
pin = "new.key"
after = "1m"
"""
ROOT = Path("bundled") / "1.root.json"


@pytest.fixture
def running(run: Run) -> Iterator[Bank]:
    del run  # it has entered a new folder
    with bank() as found:
        yield found


@pytest.fixture
def operator(run: Run, running: Bank, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Return an operator, after version 1 was signed, pushed, and bundled with every app."""
    done = run(
        *("publish", "init", "--root-key", "root.key", "--targets-key", "targets.key"),
        *("--online-key", "online.key", "--url", str(SITE)),
    )
    assert done.code == 0, done.err
    monkeypatch.setenv("CERTPIN_SIGNING_KEYS", "root.key targets.key online.key")
    first = run("publish", "sign", *DELAYS, *running.looking, "--clients", str(len(CLIENTS)))
    assert first.code == 0, first.out + first.err

    def push() -> None:
        signed = run("publish", "sign", *running.looking)
        assert signed.code == 0, signed.out + signed.err
        pushed = run("publish", "push")
        assert pushed.code == 0, pushed.out + pushed.err

    push()
    ROOT.parent.mkdir()
    ROOT.write_bytes((SITE / "metadata" / "1.root.json").read_bytes())
    _bundle(ROOT.parent)
    return Operator(run, running.looking, push)


def _bundle(folder: Path) -> None:
    """Copy the current pin file and its trust anchors, as an app bundles them."""
    folder.mkdir(exist_ok=True)
    for name in ("pins.toml", "roots.pem"):
        (folder / name).write_bytes(Path(name).read_bytes())


def clients(running: Bank, *, binaries: range = range(0)) -> dict[int, Settings]:
    """Return the settings of twenty clients, by number, all of which fetch pins within T_adopt.

    The clients differ in how long the app is open and how often it fetches. ``binaries`` are the
    numbers of the clients that never fetch and keep their bundled pins.
    """
    here = Path.cwd()
    return {
        number: Settings(
            pins=str(here / ("frozen" if number in binaries else "bundled") / "pins.toml"),
            root=str(here / ROOT),
            url=None if number in binaries else running.url,
            cache=str(here / f"cache-{number}"),
            port=running.front.port,
            hosts=(API, SHOP),
            poll=1.0 + number % 5 / 4,
            opened=1.0 + number % 7 / 2,
            closed=number % 4 * 1.2,
            pause=1.2,
            log=str(here / f"client-{number}.log"),
            stop=str(here / "stop"),
        )
        for number in CLIENTS
    }


def test_leaf_authority_and_root_signer_change_and_no_request_fails(
    running: Bank, operator: Operator, run: Run
) -> None:
    with fleet(Path.cwd(), clients(running)) as apps:
        apps.wait_for_calls()
        _change_the_root_signer(run, operator, apps)
        _change_the_leaf(running, operator)
        _change_the_authority(running, operator)
        apps.begin(0)
        assert apps.refused() == {}
        assert all(len(calls) > 20 for calls in apps.calls().values())


def test_a_wrong_order_locks_out_as_many_clients_as_simulated(
    running: Bank, operator: Operator, run: Run
) -> None:
    _bundle(Path("frozen"))
    assert (
        run(
            "rotate",
            "shipped",
            next_number(),
            *APP,
            "--clients",
            str(len(BINARIES)),
            *running.looking,
        ).code
        == 0
    )
    with fleet(Path.cwd(), clients(running, binaries=BINARIES)) as apps:
        apps.wait_for_calls()
        key = _stage_a_new_key(running, operator, apps)
        foretold = _simulated_lockouts(run, running)
        assert foretold == len(BINARIES)
        refused = run("rotate", "switch", "new.key", "--host", API, *running.looking, "--json")
        assert refused.code == 1
        # Until T_adopt is over, clients that fetch may hold the version of the binary too.
        assert len(BINARIES) <= refused.json["breaches"][0]["clients"] <= len(CLIENTS)
        forced = run(
            *("rotate", "switch", "new.key", "--host", API, *running.looking),
            *("--force", "--reason", "to see which clients it locks out"),
        )
        assert forced.code == 0
        assert apps.refused() == {}
        running.front.use(API, running.first.account.issue(API, key))
        apps.begin()
        apps.wait_for_calls()
        assert {*apps.refused()} == {*BINARIES}
        errors = {error for item in apps.refused().values() for error in item}
        assert errors == {"PinMismatchError"}


def _stage_a_new_key(running: Bank, operator: Operator, apps: Fleet) -> Any:
    """Add a new key to the pin file, publish and push it, and wait until fetching clients have it.

    Return the private key.
    """
    run = operator.run
    assert run("rotate", "start", "--host", API, "--new", "new.key").code == 0
    operator.push()
    version = PinSet.load("pins.toml").version
    apps.have(version, {*CLIENTS} - {*BINARIES})
    return load_pem_private_key(Path("new.key").read_bytes(), None)


def _simulated_lockouts(run: Run, running: Bank) -> int:
    """Return how many of twenty clients ``certpin rotate simulate`` locks out.

    The simulated schedule makes the server present ``new.key`` now.
    """
    Path("schedule.toml").write_text(SCHEDULE, encoding="utf-8")
    done = run(
        *("rotate", "simulate", "--steps", "schedule.toml", "--host", API, *running.looking),
        *("--clients", str(len(CLIENTS)), "--json"),
    )
    assert done.code == 1, done.err
    (host,) = done.json["hosts"]
    found: int = host["locked_out"]
    return found


def _change_the_leaf(running: Bank, operator: Operator) -> None:
    assert operator.run("rotate", "start", "--host", API, "--new", "new.key").code == 0
    key: Any = load_pem_private_key(Path("new.key").read_bytes(), None)
    renewed = running.first.account.issue(API, key)
    done = operator.follow(API, "new.key", lambda: running.front.use(API, renewed))
    # The key was started before, and `finish` retires and removes in one step.
    assert done == ["publish", "activate", "serve", "retire", "publish"]


def _change_the_authority(running: Bank, operator: Operator) -> None:
    Path("next.pem").write_bytes(running.second.pebble.intermediate_pem())
    moved = running.second.account.issue(SHOP, new_key())
    done = operator.follow(SHOP, "next.pem", lambda: running.front.use(SHOP, moved))
    assert done == ["stage", "publish", "activate", "serve", "retire", "publish"]


def _change_the_root_signer(run: Run, operator: Operator, apps: Fleet) -> None:
    """Replace the key that signs the root metadata, and check that all clients accept what follows.

    The next root is signed with the old and the new key. Then a version is signed and pushed
    without the old key.
    """
    [old] = _keys(run, "root")
    Path("new-root.key").write_bytes(Identity(new_key(), ()).key_pem)
    added = run("publish", "add-key", "new-root.key", "--role", "root", "--replace", old)
    assert added.code == 0, added.err
    signed = run("publish", "sign", "root.key", "new-root.key", "online.key")
    assert signed.code == 0, signed.err
    assert run("publish", "push").code == 0
    assert (SITE / "metadata" / "2.root.json").is_file()
    Path("root.key").rename("old-root.key")
    Path("new-root.key").rename("root.key")
    assert run("rotate", "start", "--host", API, "--new", "spare.key").code == 0
    operator.push()
    apps.have(PinSet.load("pins.toml").version, CLIENTS)


def _keys(run: Run, role: str) -> list[str]:
    facts = run("publish", "status", "--json").json
    (found,) = [entry for entry in facts["roles"] if entry["role"] == role]
    return [key["key"] for key in found["keys"]]
