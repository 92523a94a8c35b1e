"""ftplib with a ``PinnedSSLContext``: each data connection is a separate TLS connection."""

from __future__ import annotations

import contextlib
import ftplib
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import certpin
from certpin import PinnedSSLContext
from tests import kit
from tests.servers.ftp import ftp

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue("localhost")


@pytest.fixture(scope="module")
def port(identity: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with ftp(*identity.write(tmp_path_factory.mktemp("ftp"))) as port:
        yield port


Client = TypeVar("Client", bound=ftplib.FTP_TLS)


class ResumingFTP(ftplib.FTP_TLS):
    """An FTP client with data connections that resume the TLS session of the control connection.

    Some servers require this.
    """

    resumed: bool | None = None

    def ntransfercmd(self, cmd: str, rest: Any = None) -> Any:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        commands: Any = self.sock
        tls: ssl.SSLSocket = self.context.wrap_socket(
            connection, server_hostname=self.host, session=commands.session
        )
        self.resumed = tls.session_reused
        return tls, size


def logged_in(kind: type[Client], context: PinnedSSLContext, port: int) -> Client:
    client = kind(context=context, timeout=10)
    client.connect("localhost", port)
    client.login()
    client.prot_p()
    return client


@pytest.mark.medium
def test_data_is_pinned_as_commands_are(identity: Identity, port: int) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy("localhost", identity.pin)))
    with contextlib.closing(logged_in(ftplib.FTP_TLS, context, port)) as client:
        assert client.nlst() == ["hello.txt"]
        context.swap(kit.pin_set(kit.policy("localhost"), version=2))
        with pytest.raises(certpin.PinMismatchError):
            client.nlst()


@pytest.mark.medium
def test_data_can_resume_the_session_of_the_commands(identity: Identity, port: int) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy("localhost", identity.pin)))
    with logged_in(ResumingFTP, context, port) as client:
        assert client.nlst() == ["hello.txt"]
        assert client.resumed
