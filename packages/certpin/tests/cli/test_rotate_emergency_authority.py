"""The commands that ``certpin rotate emergency`` prints for a host that pins authorities."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPin
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, days_pass, next_number, states
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.cli.conftest import Done


class Clinic:
    """A host with ``match = "ca"``: it pins its issuer, and another root as the backup."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.root, self.other = Authority("Root"), Authority("Other root")
        self.issuer = self.root.intermediate("Issuer")
        self.third = Authority("Third root")
        self.fourth = Authority("Fourth root")
        roots = (self.root, self.other, self.third, self.fourth)
        Path("trust.pem").write_bytes(b"".join(each.pem for each in roots))
        for name in ("root", "issuer", "other", "third"):
            Path(f"{name}.pem").write_bytes(getattr(self, name).pem)
        pins = (
            HostPin(self.issuer.pin, "intermediate", "active"),
            HostPin(self.other.pin, "backup", "published", note="key file other.pem"),
        )
        policy = replace(kit.policy(HOST, self.issuer.pin, self.other.pin), pins=pins, match="ca")
        write(policy, trust=Path("trust.pem"))
        self.install(self.issuer.issue(HOST), self.root)
        assert self("shipped", next_number(), "--clients", "1200").code == 0
        days_pass(100)

    def install(self, identity: Identity, root: Authority) -> None:
        """Let the server present a certificate below ``root``."""
        Path("served.pem").write_bytes(identity.chain_pem + root.pem)

    def __call__(self, command: str, *words: str) -> Done:
        served = () if command == "start" else ("--offline", "--served", "served.pem")
        return self.run("rotate", command, *words, *served)

    def emergency(self, key: str, fact: str = "--stolen") -> tuple[Done, dict[str, Any]]:
        done = self("emergency", key, fact, "--json")
        return done, done.json["hosts"][0]

    def follow(self, path: dict[str, Any], to: Authority, backup: Authority) -> None:
        """Run every printed command in its order, with the files that the user gets.

        Args:
            path: the path of the host.
            to: the authority that issues the next certificate of the server.
            backup: the authority that becomes the backup.
        """
        new = to.issue(HOST)
        Path("fullchain.pem").write_bytes(new.chain_pem)
        Path("authority.pem").write_bytes(to.pem)
        Path("new-authority.pem").write_bytes(to.pem)
        Path("other-authority.pem").write_bytes(backup.pem)
        for step in path["steps"]:
            if step["not_before"]:
                days_pass(33)
            if step["act"] == "install":
                self.install(new, to)
            for command in step["commands"]:
                _, _, name, *words = shlex.split(command)
                done = self(name, *words)
                assert done.code == 0, f"{command}: {done.out}{done.err}"


@pytest.fixture
def clinic(run: Run) -> Clinic:
    return Clinic(run)


def test_each_printed_command_is_accepted_and_the_emergency_ends(clinic: Clinic) -> None:
    done, path = clinic.emergency("issuer.pem")
    assert (done.code, path["safe"], path["authority"]) == (0, True, True)
    acts = [step["act"] for step in path["steps"]]
    assert acts == ["switch", "install", "start", "publish", "revoke"]
    assert "get its certificate from the pinned authority" in path["steps"][0]["text"]
    assert "clients have to trust it" in path["steps"][2]["text"]
    clinic.follow(path, clinic.other, clinic.third)
    done, path = clinic.emergency("issuer.pem")
    assert (done.code, path["steps"]) == (0, [])
    assert states() == ["compromised", "active", "published"]
    assert clinic("status", "--json").json["hosts"][0]["next"]["act"] == "none"
    latest = PinSet.load("pins.toml").policies[0]
    assert clinic.issuer.pin in latest.compromised
    lint = clinic.run("lint", "--format", "json")
    assert [each["rule"] for each in lint.json["findings"]] == ["no-expiry"]


def test_a_switch_to_an_authority_says_to_install_the_chain(clinic: Clinic) -> None:
    done = clinic("switch", "other.pem")
    assert done.code == 0
    assert "every client accepts it. Install the chain on every server.\n" in done.out


def test_the_certificate_of_an_authority_is_named_and_not_its_pin(clinic: Clinic) -> None:
    """``switch`` refuses the pin: it doesn't show that the key belongs to an authority."""
    said = clinic("start", str(clinic.third.pin)).out
    assert "To switch to it, name its certificate (authority.pem)." in " ".join(said.split())
    assert f"certpin rotate switch {clinic.third.pin}" not in said
    assert clinic("shipped", next_number()).code == 0
    days_pass(100)
    step = clinic("status", "--json").json["hosts"][0]["next"]
    assert (step["act"], step["pin"], step["breaches"]) == ("switch", str(clinic.third.pin), [])
    assert step["commands"] == ["certpin rotate switch authority.pem"]
    assert step["text"].endswith("(authority.pem is the file of its certificate)")
    assert "open-chain" in clinic("switch", str(clinic.third.pin)).err
    Path("authority.pem").write_bytes(clinic.third.pem)
    assert clinic("switch", "authority.pem").code == 0


def test_the_key_of_a_server_is_no_switch_if_only_authorities_are_compared(
    clinic: Clinic,
) -> None:
    leaf = clinic.issuer.issue(HOST)
    assert clinic("start", str(leaf.pin)).code == 0
    assert clinic("shipped", next_number()).code == 0
    days_pass(100)
    clinic.install(leaf, clinic.root)
    step = clinic("status", "--json").json["hosts"][0]["next"]
    assert f"servers present {leaf.pin}" not in step["text"]
    assert clinic("finish").code == 0


def test_a_stolen_root_above_the_pinned_issuer_leads_to_the_other_authority(
    clinic: Clinic,
) -> None:
    """The issuer's own key was not stolen, but every path through it ends at that root."""
    done, path = clinic.emergency("root.pem")
    assert (done.code, path["safe"], path["authority"]) == (0, True, True)
    [switch, *_] = path["steps"]
    assert str(clinic.other.pin) in switch["text"]
    assert "start" in [step["act"] for step in path["steps"]]
    assert states() == ["lost", "published", "compromised"]  # no path through the issuer is left
    clinic.follow(path, clinic.other, clinic.third)
    done, path = clinic.emergency("root.pem")
    assert (done.code, path["steps"]) == (0, [])
    assert clinic("status", "--json").json["hosts"][0]["next"]["act"] == "finish"


def test_the_path_of_a_lost_root_names_no_issuer_below_it_twice(clinic: Clinic) -> None:
    """Two pinned issuers are below the lost root, and only the one in use is known to be."""
    second = clinic.root.intermediate("Second issuer")
    pins = (
        HostPin(clinic.issuer.pin, "intermediate", "active"),
        HostPin(second.pin, "intermediate", "published"),
    )
    policy = PinSet.load("pins.toml").policies[0]
    JOURNAL.unlink()
    write(replace(policy, pins=pins), trust=Path("trust.pem"))
    assert clinic("shipped", next_number()).code == 0
    days_pass(100)
    done, path = clinic.emergency("root.pem", "--lost")
    assert (done.code, states()) == (0, ["lost", "published"])
    text = path["steps"][0]["text"]
    assert f"pinned authority ({second.pin}), in a chain without the lost key" in text
    new = second.issue(HOST)
    Path("fullchain.pem").write_bytes(new.chain_pem)
    Path("second.pem").write_bytes(second.pem)
    assert (clinic("switch", "fullchain.pem").code, clinic("switch", "second.pem").code) == (0, 0)
    clinic.install(new, clinic.root)
    done = clinic("emergency", "root.pem", "--lost")
    assert f"marks {second.pin} as LOST: it is below the lost key" in done.out
    assert states() == ["lost", "lost"]
    done, path = clinic.emergency("root.pem", "--lost")  # the first issuer is no way out
    assert [step["act"] for step in path["steps"][:3]] == ["start", "start", "publish"]
    Path("fullchain.pem").write_bytes(second.issue(HOST).chain_pem)
    assert clinic("switch", "fullchain.pem").code == 0  # a renewal, until clients have the new one
    clinic.follow(path, clinic.other, clinic.third)
    done, path = clinic.emergency("root.pem", "--lost")
    assert [step["act"] for step in path["steps"]] == ["finish", "finish", "publish"]
    clinic.follow(path, clinic.other, clinic.third)
    done, path = clinic.emergency("root.pem", "--lost")
    assert (done.code, path["served_by"], path["steps"]) == (0, [], [])


def test_the_deleted_mark_of_a_stolen_root_comes_back_before_a_version_goes_out(
    clinic: Clinic,
) -> None:
    """Clients with a version without it would accept the root above the pinned issuer again."""
    before = Path("pins.toml").read_text()
    clinic.emergency("root.pem")
    marked = PinSet.load("pins.toml").policies[0].pins[-1]
    Path("pins.toml").write_text(before.replace("version = 3", "version = 4"))
    refused = clinic("shipped", "4")
    assert (refused.code, f"records {clinic.root.pin} as COMPROMISED" in refused.err) == (2, True)
    (command,) = clinic("status", "--json").json["hosts"][0]["next"]["commands"]
    assert command == f"certpin rotate emergency {clinic.root.pin} --stolen"
    assert clinic(*shlex.split(command)[2:]).code == 0
    assert PinSet.load("pins.toml").policies[0].pins[-1] == marked


def test_start_refuses_an_authority_that_clients_do_not_trust(clinic: Clinic) -> None:
    stranger = Authority("Stranger")
    for content, problem in (
        (stranger.pem, "CN=Stranger leads to none of them"),
        (clinic.other.issue(HOST).chain_pem, "is no authority"),
    ):
        Path("new.pem").write_bytes(content)
        done = clinic("start", "new.pem")
        assert (done.code, problem in done.err) == (2, True)
    Path("new.pem").write_bytes(clinic.other.intermediate("Below").pem)
    assert clinic("start", "new.pem").code == 0


def test_status_and_finish_lead_to_another_authority_as_the_backup(clinic: Clinic) -> None:
    new = clinic.other.issue(HOST)
    assert clinic("switch", "other.pem").code == 0
    clinic.install(new, clinic.other)
    refused = clinic("finish", str(clinic.issuer.pin))
    assert (refused.code, "certpin rotate start other-authority.pem" in refused.err) == (1, True)
    assert "--new" not in refused.err
    clinic.emergency("issuer.pem", "--lost")
    following = clinic("status", "--json").json["hosts"][0]["next"]
    assert following["commands"] == ["certpin rotate start other-authority.pem"]
    Path("other-authority.pem").write_bytes(clinic.third.pem)
    assert clinic(*shlex.split(following["commands"][0])[2:]).code == 0


@pytest.mark.medium
def test_if_no_authority_is_left_a_new_one_is_started_first(clinic: Clinic) -> None:
    clinic.emergency("other.pem", "--lost")
    done, path = clinic.emergency("issuer.pem", "--lost")
    assert done.code == 0
    commands = [command for step in path["steps"] for command in step["commands"]]
    assert "certpin rotate start new-authority.pem" in commands
    assert not any("--new" in command for command in commands)
    assert any("the next issuer" in step["text"] for step in path["steps"])
    clinic.follow(path, clinic.third, clinic.fourth)
    done, path = clinic.emergency("issuer.pem", "--lost")
    assert (done.code, path["steps"]) == (0, [])
    assert states() == ["removed", "removed", "active", "published"]


@pytest.mark.parametrize(("content", "named"), [("pem", "other.pem"), ("key_pem", "authority.pem")])
def test_the_certificate_that_the_note_of_the_backup_names_is_printed(
    clinic: Clinic, content: str, named: str
) -> None:
    """A private key has no certificate, and without it `switch` is refused."""
    file = Path("pins.toml")
    note = 'role = "backup"\nnote = "key file other.pem"'
    file.write_text(file.read_text().replace('role = "backup"', note))
    Path("other.pem").write_bytes(getattr(clinic.other, content))
    _, path = clinic.emergency("issuer.pem")
    expected = ["certpin rotate switch fullchain.pem", f"certpin rotate switch {named}"]
    assert path["steps"][0]["commands"] == expected


def test_a_refused_authority_and_a_plan_lead_to_another_authority(clinic: Clinic) -> None:
    plan = clinic("plan", "--to", "other.pem")
    assert "certpin rotate start other-authority.pem" in plan.out
    assert "--new" not in plan.out
    for fact in ("--lost", "--stolen"):
        clinic.emergency("issuer.pem", fact)
        refused = clinic("switch", "issuer.pem")
        assert refused.code in {1, 2}
        assert "start another: certpin rotate start other-authority.pem" in refused.err
