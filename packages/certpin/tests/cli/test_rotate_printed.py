"""The commands that ``certpin rotate`` prints as the next ones: each is accepted as it is printed.

The property is tested in every state of many rotations, and by following it to the end. The served
chains come from files, so that no server runs.
"""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import Bank, days_pass, next_action, next_number, record_signed
from tests.cli.conftest import HOST
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from certpin.pins import Match
    from tests.cli.conftest import Done, Run

OTHER = "localhost"


@pytest.fixture
def bank(run: Run) -> Bank:
    return Bank(run)


def identity(bank: Bank, key: str) -> Identity:
    """Return a new certificate for the key in a file."""
    loaded = load_pem_private_key(Path(key).read_bytes(), None)
    return bank.issuer.issue(HOST, key=loaded)  # type: ignore[arg-type]  # P-256


def typed(bank: Bank, command: str) -> Done:
    """Run a printed command, which sees the chain of the server."""
    program, group, name, *words = shlex.split(command)
    assert (program, group) == ("certpin", "rotate")
    return bank(name, *words)


def is_safe_now(step: dict[str, Any]) -> bool:
    return not step["breaches"] and not step["not_before"]


def require_accepted(bank: Bank, command: str, number: int) -> None:
    """Run a command in a copy of the folder. It must end with 0."""
    copy = Path(f"../copy-{number}")
    shutil.copytree(".", copy)
    with chdir(copy):
        done = typed(bank, command)
    shutil.rmtree(copy)
    assert done.code == 0, f"{command}: {done.out}{done.err}"


def take(bank: Bank, act: str) -> None:
    """Take a step of a rotation, or let another event happen."""
    name, _, key = act.partition(" ")
    match name:
        case "install":
            bank.install(identity(bank, f"{key}.key"))
        case "wait":
            days_pass(40)
        case "ship":
            assert bank("shipped", next_number()).code == 0
        case "start":
            assert bank("start", "--new", f"{key}.key").code == 0
        case "lost":
            assert bank("emergency", f"{key}.key", "--lost").code == 0
        case _:
            assert bank(name, *([f"{key}.key"] if key else [])).code in {0, 1}


STORIES = [
    ("switch b", "install b", "finish", "start next", "ship", "finish"),
    ("switch b", "install b", "start next", "ship", "finish", "wait", "finish", "ship"),
    ("start c", "ship", "wait", "switch c", "install c", "finish", "ship"),
    ("start c", "ship", "wait", "switch b", "install b", "finish", "ship"),
    ("start c", "ship", "wait", "install c", "switch c", "finish", "ship"),
    ("lost b", "start c", "ship", "finish", "ship"),
    ("switch b", "install b", "lost a", "start next", "ship", "finish", "ship"),
    ("start next", "ship", "wait", "switch next", "install next", "finish", "ship", "switch b"),
]


@pytest.mark.medium
@pytest.mark.parametrize("story", STORIES)
def test_each_printed_command_is_accepted_in_each_state(bank: Bank, story: tuple[str, ...]) -> None:
    for number, act in enumerate(("", *story)):
        if act:
            take(bank, act)
        host = bank("status", "--json").json["hosts"][0]
        commands = host["next"]["commands"] if is_safe_now(host["next"]) else []
        for pin in host["pins"]:
            removals = [each for each in pin["steps"] if each["step"] in {"retire", "remove"}]
            if any(not each["breaches"] for each in removals):
                commands = [*commands, f"certpin rotate finish {pin['pin']}"]
        for at, command in enumerate(commands):
            require_accepted(bank, command, number * 10 + at)


@pytest.mark.parametrize("begin", [story[:at] for story in STORIES for at in (2, 4, 8)])
def test_status_leads_to_the_end_of_a_rotation(bank: Bank, begin: tuple[str, ...]) -> None:
    """No command is printed twice, because each changes the next step."""
    for act in begin:
        take(bank, act)
    printed: list[str] = []
    for _ in range(12):
        step = next_action(bank.run)
        if step["act"] == "none":
            break
        if step["act"] == "install":
            used = PinSet.load("pins.toml").policies[0]
            notes = {str(each.pin): each.note for each in used.pins}
            key = notes.get(step["pin"], "").removeprefix("key file ") or "b.key"
            bank.install(identity(bank, key))
            continue
        if step["not_before"]:
            days_pass(40)
            continue
        assert not step["breaches"], step
        for command in step["commands"]:
            assert command not in printed
            done = typed(bank, command)
            assert done.code == 0, f"{command}: {done.out}{done.err}"
            printed.append(command)
    assert next_action(bank.run)["act"] == "none"


def test_of_two_switched_keys_that_were_never_installed_both_are_named(bank: Bank) -> None:
    """The last one is an authority: the server's own key was to be finished, and was in use."""
    second = bank.root.intermediate("Second issuer")
    Path("second.pem").write_bytes(second.pem)
    assert bank("start", "second.pem").code == bank("start", "--new", "c.key").code == 0
    assert bank("shipped", "4").code == 0
    days_pass(100)
    assert bank("switch", "b.key").code == bank("switch", "second.pem").code == 0
    for pin, key in ((second.pin, bank.a.key), (bank.b.pin, bank.b.key)):
        step = next_action(bank.run)
        assert (step["act"], step["pin"], step["breaches"]) == ("install", str(pin), [])
        bank.install(second.issue(HOST, key=key))
    step = next_action(bank.run)
    assert (step["act"], step["pin"]) == ("finish", str(bank.a.pin))
    assert bank("finish").code == 0


def test_a_switch_to_the_only_backup_leads_to_another_one(bank: Bank) -> None:
    Path("next.key").write_text("in use")
    printed = bank("switch", "b.key", "--json").json["next"]
    assert printed == "certpin rotate start --new next-2.key"
    assert typed(bank, printed).code == 0
    bank("start", "--new", "c.key")
    assert bank("switch", "b.key", "--json").json["next"] is None  # nothing is changed


def test_a_key_that_is_replaced_is_no_backup_if_no_server_was_contacted(bank: Bank) -> None:
    done = bank.run("rotate", "switch", "b.key", "--offline", "--json")
    assert done.json["next"] == "certpin rotate start --new next.key"


@pytest.mark.parametrize("fact", ["--stolen", "--lost"])
def test_two_emergencies_at_once_make_two_backups(run: Run, fact: str) -> None:
    """The commands of both are printed before those of the first are run."""
    hosts = {HOST: "one", OTHER: "two", f"*.{HOST}": "three"}
    root, policies = Authority("Root"), []
    for host, name in hosts.items():
        keys = [root.issue(host.replace("*", "a")) for _ in range(2)]
        policies.append(_with_backup(host, *keys))
        Path(f"{name}.key").write_bytes(keys[1].key_pem)
    write(*policies)
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    days_pass(100)
    commands = []
    for name in hosts.values():
        done = run("rotate", "emergency", f"{name}.key", fact, "--offline")
        commands += re.findall(r"^ {7}(certpin rotate start .+)$", done.out, re.MULTILINE)
    assert len(commands) == len(hosts)
    for command in commands:
        assert run(*shlex.split(command)[1:]).code == 0, command
    pins = [policy.pins[-1].pin for policy in PinSet.load("pins.toml").policies]
    assert len(set(pins)) == len(hosts)


@dataclass
class Partners:
    """Two hosts with different keys and one backup for both. The chains come from files."""

    run: Run

    def __post_init__(self) -> None:
        root = Authority("Root")
        Path("root.pem").write_bytes(root.pem)
        backup, policies = root.issue(HOST, OTHER), []
        Path("next-backup.key").write_bytes(backup.key_pem)
        for host in (HOST, OTHER):
            key = root.issue(host)
            Path(f"{host}.pem").write_bytes(key.chain_pem + root.pem)
            policies.append(_with_backup(host, key, backup))
        write(*policies, trust=Path("root.pem"))
        assert self("certpin rotate shipped 3").code == 0
        days_pass(100)

    def __call__(self, command: str, *words: str) -> Done:
        """Run a printed command, which sees the chains of the servers."""
        _, _, name, *given = shlex.split(command)
        served = [word for host in (HOST, OTHER) for word in ("--served", f"{host}={host}.pem")]
        options = () if name == "start" else ("--offline", *served)
        return self.run("rotate", name, *given, *options, *words)


@pytest.mark.parametrize("fact", ["--lost", "--stolen"])
def test_the_commands_for_hosts_with_other_keys_name_the_hosts(run: Run, fact: str) -> None:
    partners = Partners(run)
    done = partners(f"certpin rotate emergency next-backup.key {fact}")
    commands = re.findall(r"^ {7}(certpin .+)$", done.out, re.MULTILINE)
    assert f"certpin rotate start --new next-backup-2.key --host {HOST} --host {OTHER}" in commands
    for command in commands:
        typed = partners(command)
        assert typed.code == 0, f"{command}: {typed.out}{typed.err}"
    again = partners(f"certpin rotate emergency next-backup.key {fact}", "--json")
    assert [host["steps"] for host in again.json["hosts"]] == [[], []]


@pytest.mark.medium
def test_the_fix_of_the_gate_is_accepted_for_each_of_several_hosts(run: Run) -> None:
    """Also if the file of the last fix exists, because its key was lost again."""
    partners = Partners(run)
    lost = ["next-backup.key"]
    for number in ("", "-2"):
        for name in lost:
            partners(f"certpin rotate emergency {name} --lost")
        refused = partners("certpin rotate shipped 4", "--json")
        breaches = refused.json["breaches"]
        fixes = [each["fix"] for each in breaches if each["invariant"] == "backup"]
        lost = [f"next-backup-{host}{number}.key" for host in (HOST, OTHER)]
        assert fixes == [
            f"make a backup: certpin rotate start --new {name} --host {host}"
            for name, host in zip(lost, (HOST, OTHER), strict=True)
        ]
        for fix in fixes:
            assert partners(fix.removeprefix("make a backup: ")).code == 0, fix
    assert partners("certpin rotate shipped 4").code == 0


def test_the_fix_of_the_gate_names_the_pin_file(run: Run) -> None:
    """Without it, a user who pastes the command changes another pin file of the same folder."""
    server = Authority("Root").issue(HOST)
    for path in ("pins.toml", "live.toml"):
        write(kit.policy(HOST, server.pin, kit.NOBODY), path=path)
        assert run("rotate", "shipped", "3", "--offline", "--file", path).code == 0
        run("rotate", "emergency", str(kit.NOBODY), "--lost", "--offline", "--file", path)
    before = Path("pins.toml").read_bytes()
    words = ("rotate", "shipped", "4", "--offline", "--file", "live.toml")
    [breach] = run(*words, "--json").json["breaches"]
    fix = "certpin rotate start --file live.toml --new next-backup.key"
    assert breach["fix"] == f"make a backup: {fix}"
    assert f"  fix: make a backup: {fix}\n" in run(*words).err
    assert run(*shlex.split(fix)[1:]).code == 0
    assert Path("pins.toml").read_bytes() == before
    assert run(*words).code == 0


def test_the_fix_of_a_plan_names_the_pin_file(run: Run) -> None:
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE), path="live.toml")
    for step in (("shipped", "3"), ("emergency", str(kit.NOBODY), "--lost")):
        assert run("rotate", *step, "--offline", "--file", "live.toml").code in {0, 1}
    words = ("rotate", "plan", "--to", str(kit.NOBODY), "--offline", "--file", "live.toml")
    fix = "start another: certpin rotate start --file live.toml --new next.key"
    assert f"  fix: {fix}\n" in run(*words).out
    plan = run(*words, "--json")
    assert plan.raw.count(fix.encode()) == 1


def test_each_fix_that_starts_a_known_key_names_its_host(run: Run) -> None:
    partners = Partners(run)
    pin = Authority("Root").issue(HOST).pin
    refused = partners(f"certpin rotate switch {pin} --host {OTHER}")
    fix = f"certpin rotate start {pin} --host {OTHER}"
    assert f"{fix} puts it into the next version" in " ".join(refused.err.split())
    assert partners(fix).code == 0


def test_a_switch_to_the_backup_of_several_hosts_starts_the_next_one_there(run: Run) -> None:
    partners = Partners(run)
    done = partners("certpin rotate switch next-backup.key", "--json")
    assert done.json["next"] == f"certpin rotate start --new next.key --host {HOST} --host {OTHER}"
    assert partners(done.json["next"]).code == 0


def test_a_switch_at_hosts_that_compare_other_certificates_starts_a_backup_of_the_first(
    run: Run, ca: Path, root: Authority, intermediate: Authority
) -> None:
    """Typed without its host, the command would be refused for the other one."""
    other = root.intermediate("Other")
    Path("other.pem").write_bytes(other.pem)
    pins = (
        HostPin(intermediate.pin, "intermediate", "active"),
        HostPin(other.pin, "backup", "published"),
    )
    any_of_chain = HostPolicy(HostPattern.parse(HOST), pins)
    write(any_of_chain, HostPolicy(HostPattern.parse(OTHER), pins, match="ca"), trust=ca)
    Path("served.pem").write_bytes(intermediate.issue(HOST, OTHER).chain_pem)
    served = ("--offline", "--served", "served.pem")
    assert run("rotate", "shipped", next_number(), *served).code == 0
    days_pass(100)
    done = run("rotate", "switch", "other.pem", *served, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["next"] == f"certpin rotate start --new next-{HOST}.key --host {HOST}"
    assert run(*shlex.split(done.json["next"])[1:]).code == 0


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_key_that_goes_before_it_is_published_needs_no_version(
    bank: Bank, is_signed: bool
) -> None:
    if is_signed:
        record_signed()
    bank("start", "--new", "wrong.key")
    printed = bank("finish", "wrong.key", "--json").json["next"]
    assert (printed, next_action(bank.run)["act"]) == ("certpin rotate status", "none")


def test_a_refusal_before_the_push_names_no_push_of_another_pin_set(bank: Bank) -> None:
    bank("start", "--new", "next.key")
    record_signed()
    for path in (Path("pins.toml"), Path("pins.journal.jsonl")):
        path.rename(path.name.replace("pins", "bank"))
    refused = bank("switch", "next.key", "--file", "bank.toml", "--json")
    fixes = [breach["fix"] for breach in refused.json["breaches"]]
    assert any(fix.startswith("push version 4 (certpin rotate status") for fix in fixes)
    assert "certpin publish push" not in refused.out
    (host,) = bank("status", "--file", "bank.toml", "--json").json["hosts"]
    assert host["next"]["commands"] == ["certpin publish push --file bank.toml"]


def test_a_plan_brings_a_signed_version_to_the_clients(bank: Bank) -> None:
    record_signed()
    (host,) = bank("plan", "--to", "n.key", "--json").json["hosts"]
    both = ["certpin publish sign KEY…", "certpin publish push"]
    assert [step["commands"] for step in host["steps"] if step["act"] == "publish"] == [both, both]
    lines = [line.strip() for line in bank("plan", "--to", "n.key").out.splitlines()]
    assert [line for line in lines if line in both] == [*both, *both]
    for path in (Path("pins.toml"), Path("pins.journal.jsonl")):
        path.rename(path.name.replace("pins", "bank"))
    (host,) = bank("plan", "--to", "n.key", "--file", "bank.toml", "--json").json["hosts"]
    printed = [step["commands"] for step in host["steps"] if step["act"] == "publish"]
    assert printed == [[f"{command} --file bank.toml" for command in both]] * 2


def test_a_plan_to_the_backup_of_the_last_plan_makes_another_file(bank: Bank) -> None:
    Path("b.key").rename("next-backup.key")
    (host,) = bank("plan", "--to", "next-backup.key", "--json").json["hosts"]
    commands = [command for step in host["steps"] for command in step["commands"]]
    starts = [command for command in commands if " start " in command]
    made = "next-backup-2.key"
    assert starts == [f"certpin rotate start --new {made}", f"certpin rotate start {made}"]
    assert typed(bank, starts[0]).code == typed(bank, starts[1]).code == 0
    assert Path(made).exists()


@dataclass
class Clinic:
    """Two hosts at one server with one key; each has a backup, or both have the same.

    Attributes:
        backups: the certificates of the backups, by host.
    """

    run: Run
    issuer: Authority
    server: Nginx
    backups: dict[str, Identity]

    @property
    def paths(self) -> int:
        """The number of different paths: hosts with the same backup have the same one."""
        return len({backup.pin for backup in self.backups.values()})

    def install(self) -> None:
        """Let the server present the certificates of the backups."""
        for host, backup in self.backups.items():
            self.server.use(host, self.issuer.issue(host, key=backup.key))

    def follow(self, commands: list[str]) -> None:
        """Run the printed commands in their order. All must end with 0."""
        for command in commands:
            _, *words = shlex.split(command)
            if words[1] in {"finish", "shipped"}:
                self.install()
            done = self.run(*words)
            assert done.code == 0, f"{command}: {done.out}{done.err}"


@pytest.fixture(params=[1, 2])
def clinic(
    run: Run, ca: Path, intermediate: Authority, request: pytest.FixtureRequest
) -> Iterator[Clinic]:
    key, *made = (intermediate.issue(HOST, OTHER) for _ in range(3))
    backups = dict(zip((HOST, OTHER), (made[0], made[request.param - 1]), strict=True))
    Path("old.key").write_bytes(key.key_pem)
    for host, backup in backups.items():
        Path(f"{host}.key").write_bytes(backup.key_pem)
    write(*(_with_backup(host, key, backup) for host, backup in backups.items()), trust=ca)
    with nginx(dict.fromkeys(backups, key)) as server:
        table = f'[[host.server]]\naddress = "127.0.0.1:{server.port}"\n'
        text = Path("pins.toml").read_text(encoding="utf-8")
        begin, *tables = text.split("[[host]]")
        for host, its_table in zip(backups, tables, strict=True):
            begin += f'[[host]]{its_table}note = "key file {host}.key"\n{table}'
        Path("pins.toml").write_text(begin, encoding="utf-8")
        assert run("rotate", "shipped", next_number()).code == 0
        days_pass(100)
        yield Clinic(run, intermediate, server, backups)


def _with_backup(host: str, key: Identity, backup: Identity) -> HostPolicy:
    made = kit.policy(host, key.pin, backup.pin)
    leaf, spare = made.pins
    return replace(made, pins=(leaf, replace(spare, role="backup", state="published")))


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("fact", ["--stolen", "--lost"])
def test_the_commands_of_an_emergency_at_two_hosts_are_accepted_in_their_order(
    clinic: Clinic, fact: str
) -> None:
    done = clinic.run("rotate", "emergency", "old.key", fact)
    assert done.code == 0
    commands = re.findall(r"^ {7}(certpin .+)$", done.out, re.MULTILINE)
    made = [command.rpartition("--out ")[2] for command in commands if " csr " in command]
    assert len(made) == len(set(made)) == clinic.paths
    assert [command for command in commands if "shipped" in command] == commands[-1:]
    clinic.follow(commands)
    again = clinic.run("rotate", "emergency", "old.key", fact, "--json")
    assert [host["steps"] for host in again.json["hosts"]] == [[], []]


@pytest.mark.peer("nginx")
def test_the_plans_of_two_hosts_make_two_files(clinic: Clinic) -> None:
    made = clinic.run("rotate", "plan", "--to", f"{HOST}.key").out
    files = re.findall(r"start --new (\S+)", made)
    assert files == [f"next-backup-{host}.key" for host in clinic.backups][: len(files)]
    assert len(files) == 3 - clinic.paths


@pytest.mark.peer("nginx")
def test_an_emergency_lists_the_servers_of_all_hosts(clinic: Clinic) -> None:
    done = clinic.run("rotate", "emergency", "old.key", "--stolen")
    lines = [line for line in done.out.splitlines() if line.startswith("Servers use it now: ")]
    assert len(lines) == clinic.paths
    assert all(f"{host}:{clinic.server.port}" in " ".join(lines) for host in clinic.backups)


@pytest.mark.parametrize("first", ["any", "ca"])
def test_hosts_that_compare_other_certificates_have_their_own_commands(
    run: Run, ca: Path, root: Authority, intermediate: Authority, first: Match
) -> None:
    """The pinned issuer of both is stolen: one needs a new key, and the other an authority."""
    key, spare = intermediate.issue(HOST, OTHER), root.intermediate("spare")
    pins = tuple(HostPin(each.pin, "intermediate", "active") for each in (intermediate, spare))
    compared: dict[str, Match] = {HOST: "any", OTHER: "ca"}
    policies = [
        replace(kit.policy(host), pins=pins, match=match) for host, match in compared.items()
    ]
    write(*sorted(policies, key=lambda policy: policy.match != first), trust=ca)
    Path("chain.pem").write_bytes(key.chain_pem)
    served = ("--served", f"{HOST}=chain.pem", "--served", f"{OTHER}=chain.pem", "--offline")
    assert run("rotate", "shipped", next_number(), *served).code == 0
    days_pass(100)
    done = run("rotate", "emergency", str(intermediate.pin), "--stolen", *served)
    Path("other-authority.pem").write_bytes(root.intermediate("other").pem)
    commands = re.findall(r"^ {7}(certpin rotate start .+)$", done.out, re.MULTILINE)
    assert len(commands) == 2, done.out
    for command in commands:
        started = run(*shlex.split(command)[1:])
        assert started.code == 0, f"{command}: {started.err}"


@pytest.mark.parametrize("first", [HOST, OTHER])
def test_the_version_of_an_emergency_waits_for_the_servers_of_each_host(
    run: Run, ca: Path, intermediate: Authority, first: str
) -> None:
    """The stolen key is in use at one host, and the backup of the other, which has not to wait."""
    key, other, spare = (intermediate.issue(HOST, OTHER) for _ in range(3))
    policies = [_with_backup(HOST, key, spare), _with_backup(OTHER, other, key)]
    write(*sorted(policies, key=lambda policy: str(policy.pattern) != first), trust=ca)
    words = ["--offline"]
    for host, identity in ((HOST, key), (OTHER, other)):
        Path(f"{host}.pem").write_bytes(identity.chain_pem)
        words += ["--served", f"{host}={host}.pem"]
    assert run("rotate", "shipped", next_number(), *words).code == 0
    days_pass(100)
    done = run("rotate", "emergency", str(key.pin), "--stolen", *words)
    versions = [line for line in done.out.splitlines() if " as version 4, " in line]
    assert len(versions) == 1, done.out
    assert "When every server presents it, give the pin file" in versions[0]
