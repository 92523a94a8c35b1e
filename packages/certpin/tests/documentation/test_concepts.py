"""The code blocks of docs/concepts/ run, and the tables list every reason and every verdict."""

from __future__ import annotations

import json
import re
import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest

import certpin
from certpin.lab import LabServer
from certpin.lab.ct_log import LabLog, log_list
from certpin.lab.verdict import Verdict
from certpin.pinfile import PinSet
from certpin.pins.verdict import Reason
from tests import kit
from tests.documentation._blocks import DOCS, blocks, shell_script
from tests.documentation._played import Served
from tests.documentation._reader import play

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority

_HEAD = 'schema = 1\nname = "bank"\nversion = 1\n'
_PINS = f'[[host.pin]]\npin = "{kit.NOBODY}"\n[[host.pin]]\npin = "{kit.NOBODY_ELSE}"\n'


def test_a_connection_is_asserted(root: Authority) -> None:
    (block,) = (
        each.text for each in blocks("concepts/matching.md") if "assert_pinned(" in each.text
    )
    identity = root.issue("localhost")
    context = certpin.PinnedSSLContext(kit.pin_set(kit.policy("localhost", identity.pin)))
    context.load_verify_locations(cadata=root.certificate.der)
    with (
        LabServer(identity) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        names: dict[str, Any] = {"certpin": certpin, "connection": connection}
        exec(block.replace("api.bank.example", "localhost"), names)
        assert names["verdict"].decision == "accept"
        with pytest.raises(certpin.UncheckedConnectionError):
            exec(block, {"certpin": certpin, "connection": connection})  # another host


def test_the_debug_override_is_read(tmp_path: Path, root: Authority) -> None:
    (block,) = (each.text for each in blocks("concepts/matching.md") if "[debug]\n" in each.text)
    (tmp_path / "charles-ca.pem").write_bytes(root.pem)
    text = f'{_HEAD}[[host]]\nname = "api.bank.example"\n{_PINS}{block}'
    assert PinSet.parse(text, path=tmp_path / "pins.toml").debug is not None


def test_a_strictness_is_read(tmp_path: Path, root: Authority) -> None:
    (block,) = (each.text for each in blocks("concepts/matching.md") if "strict_x509" in each.text)
    (tmp_path / "private-ca.pem").write_bytes(root.pem)
    parsed = PinSet.parse(f"{_HEAD}{block}{_PINS}", path=tmp_path / "pins.toml")
    trust = parsed.policies[0].trust
    assert trust is not None
    assert trust.strict is False


def test_a_revocation_list_is_checked(
    tmp_path: Path, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (each.text for each in blocks("concepts/matching.md") if "verify_flags" in each.text)
    good, revoked = root.issue("localhost"), root.issue("localhost")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private-ca.pem").write_bytes(root.pem)
    lists = kit.revocation_list(root, revoked.chain[0])
    (tmp_path / "private-ca.crl").write_bytes(lists)
    host = f'[[host]]\nname = "localhost"\ntrust = "private-ca.pem"\n{_PINS}'
    (tmp_path / "pins.toml").write_text(f"{_HEAD}{host}".replace(str(kit.NOBODY), str(root.pin)))
    names: dict[str, Any] = {"certpin": certpin, "ssl": ssl}
    exec(block, names)
    context = names["context"]
    with LabServer(good) as server, socket.create_connection(("127.0.0.1", server.port)) as plain:
        context.wrap_socket(plain, server_hostname="localhost").close()
    with (
        LabServer(revoked) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        pytest.raises(certpin.UnverifiedChainError, match="certificate revoked"),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_certificate_transparency_is_read(tmp_path: Path) -> None:
    (block,) = (each.text for each in blocks("concepts/matching.md") if "ct_logs" in each.text)
    logs = log_list([LabLog.make("Log A")], datetime(2027, 1, 1, tzinfo=UTC))
    files = {"log_list.json": json.dumps(logs.to_json()).encode()}
    assert PinSet.parse(f"{_HEAD}{block}{_PINS}", files=files).policies[0].ct_logs == logs


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_the_commands_about_adoption_run(tmp_path: Path) -> None:
    prepared = "certpin add api.bank.example --backup-key next.key"
    script = shell_script("concepts/adoption.md", prepared)
    reader = play(tmp_path, [Served(("api.bank.example",))], script)
    assert "T_adopt 32d2h" in reader.output


def test_the_page_about_verdicts_has_every_reason_and_every_verdict() -> None:
    page = (DOCS / "concepts/verdict.md").read_text(encoding="utf-8")
    client, lab = page.partition("## In the lab")[::2]
    assert [reason for reason in get_args(Reason) if f"`{reason}`" not in client] == []
    named = set(re.findall(r"(?m)^\| `([A-Z]+)` \|", lab))
    assert named == {verdict.value for verdict in Verdict}
