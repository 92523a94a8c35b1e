"""``certpin add`` with the root sets of certificate providers: --provider and --match ca.

Also tests the printed proposal to pin such a set if the user gives no backup.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin.providers
from certpin.lab import Authority, LabServer
from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.providers import Provider, ProviderData, ProviderRoot
from tests import kit
from tests.providers import _data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Pin
    from tests.cli.conftest import Run

OTHER = _data.root(1)
EDITION = date(2026, 11, 28)


def known(pin: Pin) -> ProviderRoot:
    return ProviderRoot(pin, "Test Root", date(2099, 1, 1), "active", None, "certifi 1")


def use(monkeypatch: pytest.MonkeyPatch, *providers: Provider, public: Pin | None = None) -> None:
    """Make these the only certificate providers that certpin has data about.

    ``public`` is the pin of a public root that belongs to none of them.
    """
    known = frozenset({public} if public else ())
    data = ProviderData(EDITION, {each.name: each for each in providers}, known)
    monkeypatch.setattr(certpin.providers, "load_providers", lambda: data)


@pytest.fixture
def one(root: Authority) -> Provider:
    """Return a certificate provider with two roots, one of which is the root of the tests."""
    return _data.provider("one", known(root.pin), OTHER)


@pytest.fixture
def target(intermediate: Authority, trusted_root: Path) -> Iterator[str]:
    with LabServer(intermediate.issue("localhost")) as server:
        yield f"localhost:{server.port}"


def test_a_provider_pins_all_its_roots(
    run: Run, target: str, one: Provider, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one)
    done = run("add", target, "--provider", "one")
    assert (done.code, done.err) == (0, "")
    (policy,) = PinSet.load("pins.toml").policies
    assert (policy.match, policy.mode, policy.provider_edition) == ("ca", "enforce", EDITION)
    assert [each.pin for each in policy.pins] == [root.pin, OTHER.pin]
    assert {(each.role, each.state, each.provider) for each in policy.pins} == {
        ("root", "active", ("one",))
    }
    assert policy.pins[1].not_after == OTHER.not_after
    assert f"{OTHER.pin}  Root 1, until 2040-01-01" in done.out
    assert "no promise of the provider" in done.out.replace("\n", " ")
    assert run("check").code == 0


def test_the_file_of_a_provider_passes_lint(
    run: Run, target: str, one: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one)
    run("add", target, "--provider", "one")
    done = run("lint", "--fail-on", "note")
    assert (done.code, done.out) == (0, "0 errors, 0 warnings, 0 notes in pins.toml\n")


def test_several_providers_share_a_root(
    run: Run, target: str, one: Provider, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one, _data.provider("two", known(root.pin), _data.root(2)))
    done = run("add", target, "--provider", "two", "--provider", "one", "--json")
    assert [(each["pin"], each["provider"]) for each in done.json["pins"]] == [
        (str(root.pin), ["two", "one"]),
        (str(_data.pin(2)), ["two"]),
        (str(OTHER.pin), ["one"]),
    ]


def test_a_provider_that_does_not_issue_the_chain_is_refused(
    run: Run, target: str, one: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one, _data.provider("two", _data.root(2), _data.root(3)))
    done = run("add", target, "--provider", "two")
    assert (done.code, done.out) == (2, "")
    assert "the chain ends at 'Test Root', from which two does not issue" in done.err
    assert "fix: name its provider too: --provider one" in done.err
    assert not Path("pins.toml").exists()


def test_an_unknown_provider_is_refused_with_a_similar_name(run: Run) -> None:
    done = run("add", "nobody.invalid", "--provider", "cloudfare")
    assert done.code == 2
    assert "there is no provider 'cloudfare'. Did you mean 'cloudflare'?" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--backup-key", "backup.key"),
        ("--match", "leaf"),
        ("--pin", str(kit.NOBODY)),
    ],
)
def test_a_provider_excludes_the_own_key(run: Run, words: tuple[str, str]) -> None:
    done = run("add", "nobody.invalid", "--provider", "letsencrypt", *words)
    assert (done.code, "--provider" in done.err) == (2, True)
    assert list(Path().iterdir()) == []


def test_without_a_backup_the_root_set_of_the_provider_is_proposed(
    run: Run, target: str, one: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdn = _data.provider("cdn", *one.roots, kind="service", uses=("one",))
    use(monkeypatch, one, cdn)
    done = run("add", target)
    assert (done.code, done.out) == (2, "")
    assert "an enforced host needs a backup" in done.err
    assert "--backup-key FILE" in done.err
    assert f"certpin add {target} --provider one pins the roots of One" in done.err
    assert "If you get it from cdn, name that instead" in done.err
    assert "pins the roots of One: Test Root, Root 1" in done.err
    assert not Path("pins.toml").exists()
    assert run("add", target, "--provider", "one").code == 0


def test_a_chain_to_a_root_that_is_not_public_is_never_proposed(
    run: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, _data.provider("one", _data.root(1), _data.root(2)))
    for words in ((), ("--match", "ca"), ("--provider", "one")):
        done = run("add", target, *words)
        assert (done.code, done.out) == (2, "")
        assert "the chain ends at 'Test Root', which no release of certifi has" in done.err
        assert "a proxy that inspects the traffic" in done.err
        assert "--ca-file ROOT.pem" in done.err
    assert not Path("pins.toml").exists()


def test_the_own_key_below_a_private_root_is_pinned_with_a_warning(run: Run, target: str) -> None:
    done = run("add", target, "--backup-key", "backup.key")
    assert done.code == 0
    assert "certpin: warning: the chain ends at 'Test Root'" in done.err


def test_match_ca_pins_the_root_set_of_the_provider(
    run: Run, target: str, one: Provider, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one)
    assert run("add", target, "--match", "ca").code == 0
    (policy,) = PinSet.load("pins.toml").policies
    assert [(each.pin, each.role) for each in policy.pins] == [
        (root.pin, "root"),
        (OTHER.pin, "root"),
    ]


def test_match_ca_takes_the_lowest_known_root_of_a_cross_signed_one(
    run: Run, intermediate: Authority, target: str, one: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = _data.provider("two", known(intermediate.pin), _data.root(2))
    use(monkeypatch, one, two)
    assert run("add", target, "--match", "ca").code == 0
    (policy,) = PinSet.load("pins.toml").policies
    assert {each.provider for each in policy.pins} == {("two",)}


def test_match_ca_pins_a_public_root_of_no_provider_only_with_a_second_one(
    run: Run, target: str, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, _data.provider("one", _data.root(1), _data.root(2)), public=root.pin)
    done = run("add", target, "--match", "ca")
    assert (done.code, done.out) == (2, "")
    assert "'Test Root' belongs to no provider that certpin knows" in done.err
    assert "--backup-pin PIN" in done.err
    done = run("add", target)
    assert f"certpin add {target} --match ca --backup-pin PIN pins 'Test Root'" in done.err
    done = run("add", target, "--match", "ca", "--backup-pin", str(kit.NOBODY))
    assert done.code == 0
    (policy,) = PinSet.load("pins.toml").policies
    assert [(each.pin, each.role) for each in policy.pins] == [
        (root.pin, "root"),
        (kit.NOBODY, "backup"),
    ]
    assert policy.pins[0].note == "Test Root"
    assert policy.provider_edition is None


def test_in_report_mode_a_public_root_of_no_provider_needs_no_second_one(
    run: Run, target: str, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, _data.provider("one", _data.root(1), _data.root(2)), public=root.pin)
    done = run("add", target, "--match", "ca", "--mode", "report")
    assert (done.code, done.err) == (0, "")
    (policy,) = PinSet.load("pins.toml").policies
    assert [(each.pin, each.role) for each in policy.pins] == [(root.pin, "root")]


def test_a_clock_before_the_data_is_an_error(
    run: Run, target: str, one: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ProviderData(utc_now().date() + timedelta(9), {"one": one}, frozenset())
    monkeypatch.setattr(certpin.providers, "load_providers", lambda: data)
    done = run("add", target, "--provider", "one")
    assert (done.code, "the clock of this machine says" in done.err) == (2, True)


def test_a_known_pin_of_an_authority_needs_a_second_one(run: Run) -> None:
    done = run("add", "nobody.invalid", "--match", "ca", "--pin", str(kit.NOBODY))
    assert (done.code, "--backup-pin PIN" in done.err) == (2, True)


def test_a_host_that_does_not_answer_gets_no_proposal(run: Run) -> None:
    done = run("add", "nobody.invalid", "--json")
    assert done.code == 2
    assert "--provider" not in done.error["fix"]
