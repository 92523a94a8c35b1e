"""``certpin pin HOST``: the presented and the verified chain of a correct server.

The tests also write the host's name in other ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity
from certpin.pins import Pin
from tests.cli import _documented
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import Nginx, has_ipv6, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer("nginx")


def test_the_verified_chain_is_shown_from_leaf_to_root(
    run: Run, bank: Nginx, ca: Path, identity: Identity, intermediate: Authority, root: Authority
) -> None:
    done = run("pin", f"localhost:{bank.port}", "--ca-file", ca)
    assert (done.code, done.err) == (0, "")
    titles = [line for line in done.out.splitlines() if ", verified, " in line]
    assert titles == [
        f"leaf, verified, served: CN={HOST}",
        "intermediate, verified, served: CN=Test Intermediate",
        "root, verified, from the trust store: CN=Test Root",
    ]
    pins = [line.split()[-1] for line in done.out.splitlines() if line.startswith("  pin ")]
    assert pins == [str(item.pin) for item in (identity, intermediate, root)]


def test_each_certificate_is_shown_with_its_fields(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    out = run("pin", f"localhost:{bank.port}", "--ca-file", ca).out
    leaf = identity.certificate
    assert out.startswith(f"localhost:{bank.port} at 127.0.0.1, TLSv1.3\n")
    assert "  issuer       CN=Test Intermediate\n" in out
    assert f"  names        {HOST}, localhost, *.shops.example, 127.0.0.1, ::1\n" in out
    assert f"  valid        {leaf.not_before:%Y-%m-%d} to {leaf.not_after:%Y-%m-%d} (46 days" in out
    assert "  key          EC P-256\n" in out
    assert f"  certificate  {Pin('cert-sha256', leaf.sha256)}\n" in out


def test_the_suggested_command_pins_this_server(run: Run, bank: Nginx, ca: Path) -> None:
    done = run("pin", f"localhost:{bank.port}", "--ca-file", ca)
    suggested = done.out.splitlines()[-1].split()
    assert suggested[:2] == ["certpin", "add"]
    added = run(*suggested[1:])
    assert added.code == 0
    following = added.out.splitlines()[-1].split()[1:]
    assert run(*following[1:]).code == 0


def test_as_json_every_field_is_as_documented(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    done = run("pin", f"localhost:{bank.port}", "--ca-file", ca, "--json")
    (server,) = done.json["targets"]
    _documented.check("server", server)
    assert (done.code, done.err) == (0, "")
    assert (server["host"], server["port"], server["server_name"]) == (
        "localhost",
        bank.port,
        "localhost",
    )
    assert server["verified"]
    assert [len(server["served_chain"]), len(server["verified_chain"])] == [2, 3]
    leaf = server["verified_chain"][0]
    assert leaf["pin"] == str(identity.pin)
    assert leaf["not_after"] == identity.certificate.not_after.isoformat()


def test_many_servers_are_shown_in_their_order(
    run: Run, ca: Path, connect_args: tuple[str, ...]
) -> None:
    done = run("pin", HOST, "one.shops.example", "--ca-file", ca, "--json", *connect_args)
    assert [server["host"] for server in done.json["targets"]] == [HOST, "one.shops.example"]


def test_the_roots_of_this_machine_are_trusted_by_default(
    run: Run, bank: Nginx, trusted_root: Path
) -> None:
    assert run("pin", f"localhost:{bank.port}").code == 0


def test_no_pin_is_suggested_below_a_root_that_is_not_public(
    run: Run, bank: Nginx, ca: Path, trusted_root: Path
) -> None:
    done = run("pin", f"localhost:{bank.port}")
    assert "No pins are suggested: the chain ends at 'Test Root'" in " ".join(done.out.split())
    assert "certpin add" not in done.out
    assert "certpin add" in run("pin", f"localhost:{bank.port}", "--ca-file", ca).out


def test_with_a_file_of_authorities_the_roots_of_this_machine_are_not_trusted(
    run: Run, bank: Nginx, trusted_root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Other Root").pem)
    assert run("pin", f"localhost:{bank.port}", "--ca-file", other).code == 1


def test_a_file_of_authorities_may_hold_comments_and_be_der(
    run: Run, bank: Nginx, root: Authority, tmp_path: Path
) -> None:
    commented, binary = tmp_path / "commented.pem", tmp_path / "root.der"
    commented.write_bytes("# Főtanúsítvány\n".encode() + root.pem)
    binary.write_bytes(root.certificate.der)
    for path in (commented, binary):
        assert run("pin", f"localhost:{bank.port}", "--ca-file", path).code == 0


def test_a_path_may_end_at_an_intermediate_that_is_trusted(
    run: Run, bank: Nginx, intermediate: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "intermediate.pem"
    path.write_bytes(intermediate.pem)
    done = run("pin", f"localhost:{bank.port}", "--ca-file", path, "--json")
    assert len(done.json["targets"][0]["verified_chain"]) == 2


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("API.Bank.Example.", HOST),
        (f"https://{HOST}/accounts?all=1", HOST),
        ("https://ONE.shops.example:444", "one.shops.example"),
    ],
)
def test_a_host_may_be_written_in_other_ways(
    run: Run, ca: Path, connect_args: tuple[str, ...], target: str, host: str
) -> None:
    done = run("pin", target, "--ca-file", ca, "--json", *connect_args)
    assert done.json["targets"][0]["host"] == host
    assert done.json["targets"][0]["port"] == (444 if "444" in target else 443)


def test_an_internationalised_name_is_sent_as_its_a_label(
    run: Run, root: Authority, ca: Path
) -> None:
    name = "xn--bcher-kva.example"
    with nginx({name: root.issue(name)}) as server:
        address = f"127.0.0.1:{server.port}"
        done = run("pin", "Bücher.example", "--connect", address, "--ca-file", ca, "--json")
    assert (done.code, done.json["targets"][0]["host"]) == (0, name)


def test_an_ipv6_address_is_contacted(run: Run, bank: Nginx, ca: Path) -> None:
    if not has_ipv6():
        pytest.skip("left out: this machine has no IPv6 loopback")
    done = run("pin", f"[::1]:{bank.port}", "--ca-file", ca)
    assert done.code == 0
    assert done.out.startswith(f"[::1]:{bank.port} at ::1")
    assert f"certpin add '[::1]:{bank.port}'" in done.out


def test_an_address_is_verified_as_an_address(run: Run, bank: Nginx, ca: Path) -> None:
    assert run("pin", f"127.0.0.1:{bank.port}", "--ca-file", ca).code == 0
    done = run("pin", "127.0.0.2", "--connect", f"127.0.0.1:{bank.port}", "--ca-file", ca)
    assert done.code == 1
    assert "IP address mismatch" in done.out


@pytest.fixture
def strict(root: Authority) -> Iterator[Nginx]:
    """Start a server that refuses handshakes with any other server name (SNI) than its own."""
    with nginx({HOST: root.issue(HOST)}, only_known_names=True) as server:
        yield server


def test_a_server_that_needs_a_name_gets_it(run: Run, strict: Nginx, ca: Path) -> None:
    done = run("pin", HOST, "--connect", f"127.0.0.1:{strict.port}", "--ca-file", ca)
    assert done.code == 0


def test_the_server_name_option_is_sent_and_verified(run: Run, strict: Nginx, ca: Path) -> None:
    target = f"127.0.0.1:{strict.port}"
    done = run("pin", target, "--server-name", HOST.upper(), "--ca-file", ca, "--json")
    assert (done.code, done.json["targets"][0]["server_name"]) == (0, HOST)


def test_a_server_that_refuses_the_name_gets_a_fix(run: Run, strict: Nginx, ca: Path) -> None:
    done = run("pin", f"127.0.0.1:{strict.port}", "--ca-file", ca)
    assert (done.code, done.out) == (3, "")
    assert "it does not serve the requested name" in done.err
    assert "--server-name NAME" in done.err
