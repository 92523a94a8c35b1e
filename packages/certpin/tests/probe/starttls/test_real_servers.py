"""STARTTLS with real servers: with TLS, the certificate is read; without, there is an error."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from certpin.errors import StartTLSError
from certpin.probe.starttls import PROTOCOLS, negotiate
from tests.probe.starttls._play import HOST, is_garbled, is_stripping, is_turned_away
from tests.servers._run import LOOPBACK
from tests.servers.ftp import ftp
from tests.servers.imap import dovecot
from tests.servers.ldap import ldap
from tests.servers.mail import smtp
from tests.servers.mysql import mysql
from tests.servers.postgres import postgres
from tests.servers.xmpp import xmpp

if TYPE_CHECKING:
    from tests.probe.starttls.conftest import ServerIdentity

mail_peers = pytest.mark.peer("dovecot", "dovecot-imapd", "dovecot-pop3d")


def shows_its_certificate(name: str, port: int, identity: ServerIdentity, host: str = HOST) -> bool:
    """Negotiate STARTTLS, begin TLS, and return True if the server presents the expected leaf.

    The chain and the host name must verify.
    """
    context = ssl.create_default_context(cafile=identity.root)
    with socket.create_connection((LOOPBACK, port), timeout=10) as sock:
        negotiate(sock, PROTOCOLS[name], host, port)
        assert sock.gettimeout() == 10
        with context.wrap_socket(sock, server_hostname=HOST) as tls:
            return tls.getpeercert(binary_form=True) == identity.leaf


def refusal(name: str, port: int, host: str = HOST) -> StartTLSError:
    """Return the error for a server that offers no TLS."""
    with (
        socket.create_connection((LOOPBACK, port), timeout=10) as sock,
        pytest.raises(StartTLSError) as caught,
    ):
        negotiate(sock, PROTOCOLS[name], host, port)
    return caught.value


@pytest.mark.medium
def test_smtp_with_aiosmtpd(server_identity: ServerIdentity) -> None:
    with smtp(server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("smtp", port, server_identity)


@pytest.mark.medium
def test_smtp_with_aiosmtpd_without_tls() -> None:
    with smtp() as port:
        assert is_stripping(refusal("smtp", port))


@pytest.mark.medium
def test_ftp_with_pyftpdlib(server_identity: ServerIdentity) -> None:
    with ftp(server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("ftp", port, server_identity)


@pytest.mark.medium
def test_ftp_with_pyftpdlib_without_tls() -> None:
    with ftp() as port:
        assert is_stripping(refusal("ftp", port))


@mail_peers
def test_imap_and_pop3_with_dovecot(server_identity: ServerIdentity) -> None:
    with dovecot(server_identity.certificate, server_identity.key) as ports:
        assert shows_its_certificate("imap", ports.imap, server_identity)
        assert shows_its_certificate("pop3", ports.pop3, server_identity)
        assert is_garbled(refusal("imap", ports.pop3))
        assert is_garbled(refusal("pop3", ports.imap))
        assert is_garbled(refusal("smtp", ports.imap))


@mail_peers
def test_imap_and_pop3_with_dovecot_without_tls(server_identity: ServerIdentity) -> None:
    with dovecot(server_identity.certificate, server_identity.key, tls=False) as ports:
        assert is_stripping(refusal("imap", ports.imap))
        assert is_stripping(refusal("pop3", ports.pop3))


@pytest.mark.peer("slapd")
def test_ldap_with_slapd(server_identity: ServerIdentity) -> None:
    with ldap(server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("ldap", port, server_identity)


@pytest.mark.peer("slapd")
def test_ldap_with_slapd_without_tls() -> None:
    with ldap() as port:
        assert is_stripping(refusal("ldap", port))


@pytest.mark.peer("prosody")
def test_xmpp_with_prosody(server_identity: ServerIdentity) -> None:
    with xmpp(HOST, server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("xmpp", port, server_identity)
        error = refusal("xmpp", port, host="other.example")
    assert is_turned_away(error)
    assert "host-unknown" in error.problem


@pytest.mark.peer("prosody")
def test_xmpp_with_prosody_without_tls() -> None:
    with xmpp(HOST) as port:
        assert is_stripping(refusal("xmpp", port))


@pytest.mark.medium
def test_postgres(server_identity: ServerIdentity) -> None:
    with postgres(server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("postgres", port, server_identity)


@pytest.mark.medium
def test_postgres_without_tls() -> None:
    with postgres() as port:
        assert is_stripping(refusal("postgres", port))


@pytest.mark.peer("mariadbd")
def test_mysql_with_mariadb(server_identity: ServerIdentity) -> None:
    with mysql(server_identity.certificate, server_identity.key) as port:
        assert shows_its_certificate("mysql", port, server_identity)


@pytest.mark.peer("mariadbd")
def test_mysql_with_mariadb_without_tls() -> None:
    with mysql() as port:
        assert is_stripping(refusal("mysql", port))
