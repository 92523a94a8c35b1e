"""Hosts with a pin file that lists servers on other ports than 443: each printed command works."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Identity, LabServer
from certpin.lab.upstream import find_upstream
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostServer
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import days_pass, next_number, states
from tests.cli._team import printed_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority
    from tests.cli.conftest import Done, Run

PAGE = Path(__file__).parents[4] / "docs/guides/private-ca.md"
KEY = ("--backup-key", "backup.key")


def _printed(run: Run, line: str) -> Done:
    """Run a command line as certpin or a documentation page prints it."""
    words = shlex.split(line)
    assert words.pop(0) == "certpin"
    return run(*words)


def _warnings(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("certpin: ")]


def _following(done: Done) -> str:
    (line,) = [line for line in done.out.splitlines() if line.startswith("Next:")]
    return line.removeprefix("Next:").strip()


@pytest.mark.medium
def test_the_commands_of_the_guide_work_on_another_port(
    run: Run,
    identity: Identity,
    root: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """This machine trusts the issuing authority, as it trusts that of a public server."""
    kit.trust_on_this_platform(root, tmp_path, monkeypatch)
    section = PAGE.read_text(encoding="utf-8").split("## Another port")[1]
    lines = [line for line in section.split("```")[1].splitlines() if line.startswith("certpin ")]
    with LabServer(identity) as server:
        target = f"localhost:{server.port}"
        for line in lines:
            done = _printed(run, line.partition("#")[0].replace("api.bank.example:8443", target))
            assert done.code == 0, line
            assert all("'Test Root'" in each for each in _warnings(done.err)), done.err
            if line.startswith("certpin add"):
                assert _printed(run, _following(done)).code == 0
    assert [line.split()[1] for line in lines] == ["pin", "add", "check", "lint", "get"]
    assert PinSet.load("pins.toml").policies[0].servers == (HostServer("localhost", server.port),)


@pytest.mark.medium
def test_a_rotation_goes_through_with_the_commands_that_the_plan_prints(
    run: Run, identity: Identity, intermediate: Authority, ca: Path
) -> None:
    with LabServer(identity) as server:
        run("add", f"localhost:{server.port}", "--ca-file", ca, *KEY)
        assert run("rotate", "shipped", next_number(), "--opened", "2d").code == 0
        days_pass(40)
        (host,) = run("rotate", "plan", "--to", "backup.key", "--json").json["hosts"]
        for step in host["steps"]:
            if step["act"] == "serve":
                key: Any = load_pem_private_key(Path("backup.key").read_bytes(), None)
                server.use(intermediate.issue("localhost", key=key))
                continue
            assert "--connect" not in step["command"]
            assert _printed(run, step["command"]).code == 0, step
            days_pass(40)
    assert states() == ["removed", "active", "published"]


@pytest.fixture
def two(run: Run, identity: Identity, ca: Path) -> Iterator[tuple[LabServer, LabServer]]:
    """Start two servers, and write a pin file that lists both for one host, in two regions."""
    with LabServer(identity) as one, LabServer(identity) as other:
        servers = tuple(
            HostServer("127.0.0.1", server.port, region=region)
            for server, region in ((one, "eu"), (other, "us"))
        )
        editor = PinFileEditor.new(Path("pins.toml"), "bank", version=1)
        policy = kit.policy("localhost", identity.pin, trust=kit.anchors(), servers=servers)
        editor.add_host(policy, trust=str(ca))
        editor.save()
        yield one, other


@pytest.mark.medium
def test_each_server_of_a_host_is_checked_and_named_with_its_region(
    run: Run, two: tuple[LabServer, LabServer], intermediate: Authority
) -> None:
    two[1].use(intermediate.issue("localhost"))
    done = run("check", "--json")
    found = [(host["port"], host["region"], host["status"]) for host in done.json["hosts"]]
    assert found == [(two[0].port, "eu", "holds"), (two[1].port, "us", "finding")]
    assert f"localhost:{two[1].port} (us)" in run("check").out
    lint = run("lint", "--live", "--json")
    assert "live-mismatch" in {finding["rule"] for finding in lint.json["findings"]}
    refused = run("rotate", "shipped", next_number())
    assert refused.code == 1
    assert f"localhost:{two[1].port} (us) at 127.0.0.1:{two[1].port}" in refused.err
    one = run("rotate", "shipped", next_number(), "--host", f"localhost:{two[0].port}")
    assert one.code == 2
    assert f"--host leaves out 127.0.0.1:{two[1].port}" in one.err


def test_a_port_without_a_listed_server_is_a_warning_with_the_listed_ones(
    run: Run, two: tuple[LabServer, LabServer]
) -> None:
    ports = sorted(server.port for server in two)
    done = run("check", "--host", "localhost:9")
    assert done.code == 3
    listed = f"the pin file lists localhost at port {ports[0]}, {ports[1]}"
    assert f"--host localhost:9: {listed}, and not at 9" in done.err
    assert run("check", "--host", f"localhost:{ports[0]}").err == ""
    address = f"localhost=127.0.0.1:{ports[0]}"
    found = run("check", "--host", "localhost:9", "--connect", address, "--json")
    assert [host["status"] for host in found.json["hosts"]] == ["holds"]
    assert found.err == ""


def test_publishing_is_refused_if_host_leaves_out_a_host(run: Run, identity: Identity) -> None:
    """Otherwise the host that ``--host`` leaves out would be published without a check."""
    write(kit.policy("localhost", identity.pin), kit.policy("other.example", identity.pin))
    done = run("rotate", "shipped", next_number(), "--host", "localhost")
    assert done.code == 2
    assert "this step is for other.example too, and --host leaves it out" in done.err


@pytest.mark.medium
def test_suggested_commands_name_the_same_file_and_servers(
    run: Run, identity: Identity, ca: Path
) -> None:
    hosts = ("localhost", "*.shops.example")
    write(*(kit.policy(host, identity.pin) for host in hosts), trust=ca, path="bank.toml")
    with LabServer(identity) as server:
        ways = ("--connect", f"localhost=127.0.0.1:{server.port}")
        words = ("--file", "bank.toml", *ways, "--host", "localhost", "--host", "*.shops.example")
        assert _following(
            run(
                "rotate",
                "shipped",
                next_number("bank.toml"),
                *words,
                "--force",
                "--reason",
                "a test",
            )
        ) == (
            "certpin rotate status --file bank.toml --host localhost --host '*.shops.example' "
            f"--connect localhost=127.0.0.1:{server.port}"
        )
        made = run("rotate", "start", *words[:2], "--host", "localhost", "--new", "backup.key")
        following = "certpin rotate switch backup.key --file bank.toml --host localhost"
        assert printed_commands(made.out) == [
            "certpin rotate shipped 4 --file bank.toml",
            following,
        ]
        assert _printed(run, following).code == 1  # not adopted yet


def test_a_command_that_connects_nowhere_selects_by_the_same_names(
    run: Run, identity: Identity
) -> None:
    names = ("*.shops.example", "a.example")
    write(*(kit.policy(host, identity.pin, match="leaf") for host in names))
    for host, pattern in (
        ("*.shops.example", "*.shops.example"),
        ("one.shops.example", "one.shops.example"),
        ("one.shops.example:8443", "one.shops.example"),
    ):
        done = run("export", "json", "--host", host)
        assert [host["pattern"] for host in json.loads(done.out)["hosts"]] == [pattern]


def test_the_real_server_of_a_lab_is_that_of_the_pin_file(
    two: tuple[LabServer, LabServer], ca: Path
) -> None:
    pem = ca.read_text()
    upstream = find_upstream("localhost", "http", Path("pins.toml"), None, pem)
    assert upstream.address == ("127.0.0.1", two[0].port)
    named = find_upstream("localhost", "http", Path("pins.toml"), f"127.0.0.1:{two[1].port}", pem)
    assert named.address == ("127.0.0.1", two[1].port)
    alone = find_upstream("localhost", "http", None, f"127.0.0.1:{two[1].port}", pem)
    said = [each.fix.partition(",")[0] for each in (upstream, named, alone)]
    assert said == ["leave --pins out", "leave --pins and --upstream out", "leave --upstream out"]
