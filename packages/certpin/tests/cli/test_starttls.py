"""``--starttls``: certificates of real mail, directory, chat and database servers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from certpin.probe import PROTOCOLS
from tests.servers.ftp import ftp
from tests.servers.imap import dovecot
from tests.servers.ldap import ldap
from tests.servers.mail import smtp
from tests.servers.mysql import mysql
from tests.servers.postgres import postgres
from tests.servers.xmpp import xmpp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from certpin.lab import Identity
    from tests.cli.conftest import Run

    Server = Callable[[Path, Path], AbstractContextManager[int]]


@contextmanager
def _imap(certificate: Path, key: Path) -> Iterator[int]:
    with dovecot(certificate, key) as ports:
        yield ports.imap


@contextmanager
def _pop3(certificate: Path, key: Path) -> Iterator[int]:
    with dovecot(certificate, key) as ports:
        yield ports.pop3


def _xmpp(certificate: Path, key: Path) -> AbstractContextManager[int]:
    return xmpp("localhost", certificate, key)


_mail = pytest.mark.peer("dovecot", "dovecot-imapd", "dovecot-pop3d")
SERVERS = [
    pytest.param("ftp", ftp, id="ftp"),
    pytest.param("imap", _imap, id="imap", marks=_mail),
    pytest.param("ldap", ldap, id="ldap", marks=pytest.mark.peer("slapd")),
    pytest.param("mysql", mysql, id="mysql", marks=pytest.mark.peer("mariadbd")),
    pytest.param("pop3", _pop3, id="pop3", marks=_mail),
    pytest.param("postgres", postgres, id="postgres", marks=pytest.mark.slow),
    pytest.param("smtp", smtp, id="smtp"),
    pytest.param("xmpp", _xmpp, id="xmpp", marks=pytest.mark.peer("prosody")),
]


def test_every_protocol_is_tested() -> None:
    fix = "fix: a real server in SERVERS, in the order of names; new ones are in tests/servers"
    assert [server.values[0] for server in SERVERS] == sorted(PROTOCOLS), fix


@pytest.mark.medium
@pytest.mark.parametrize(("protocol", "server"), SERVERS)
def test_a_server_is_pinned_and_checked_through_its_protocol(
    run: Run, identity: Identity, ca: Path, tmp_path: Path, protocol: str, server: Server
) -> None:
    with server(*identity.write(tmp_path)) as port:
        target = f"localhost:{port}"
        seen = run("pin", target, "--starttls", protocol, "--ca-file", ca, "--json")
        added = run(
            *("add", target, "--starttls", protocol, "--ca-file", ca),
            *("--backup-key", "backup.key"),
        )
        following = added.out.splitlines()[-1].split()[1:]
        checked = run(*following[1:], "--json")
    assert (seen.code, seen.json["targets"][0]["verified_chain"][0]["pin"]) == (
        0,
        str(identity.pin),
    )
    assert following == ["certpin", "check"]
    assert (checked.code, checked.json["hosts"][0]["matched_role"]) == (0, "leaf")


@pytest.mark.medium
def test_a_server_without_starttls_is_inconclusive(run: Run) -> None:
    with smtp() as port:
        done = run("pin", f"localhost:{port}", "--starttls", "smtp")
    assert (done.code, done.out) == (3, "")
    assert f"localhost:{port}: smtp STARTTLS: the server" in done.err


def test_the_port_is_that_of_the_protocol_unless_another_is_given(run: Run) -> None:
    assert "nobody.invalid:25:" in run("pin", "nobody.invalid", "--starttls", "smtp").err
    assert "nobody.invalid:587:" in run("pin", "nobody.invalid:587", "--starttls", "smtp").err
