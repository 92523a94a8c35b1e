"""OkHttp and curl accept each root of a certificate provider, and no other root.

Each root in certpin's data about providers, and 20 others, has a substitute with its own key
(``tests.providers.test_proof``, which also tests the Python client). curl gets a CA file with the
certificates of the roots.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS, AuthorityFile
from certpin.lab.client import write_client_files
from certpin.lab.target import Target
from tests.formats.interop._programs import Jvm
from tests.providers.test_proof import OTHERS, REAL, authorities, pins_of, roots_of, server
from tests.servers._run import require
from tests.tls._wire import HOST

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


class Tunnel:
    """A CONNECT proxy for one client at a time, which itself responds for every host.

    ``root`` is the name of the root that the chain of the next response ends at.
    """

    root = ""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):  # a client that refuses hangs up
                    connection.settimeout(30)
                    _read_head(connection)
                    connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                    with server(self.root).wrap_socket(connection, server_side=True) as tls:
                        _read_head(tls)
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\naccepted")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _read_head(connection: socket.socket | ssl.SSLSocket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        if not (part := connection.recv(4096)):
            raise OSError("the client hung up")
        head += part


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a Java trust store that contains every root of ``authorities()``.

    Only a CA has the key of its root, so the tests use a substitute for each public root. The trust
    store also contains the 20 roots in ``OTHERS``.
    """
    folder = tmp_path_factory.mktemp("roots")
    write_client_files(folder, b"".join(each.pem for each in authorities().values()))
    return folder


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    made = Tunnel()
    yield made
    made.close()


@pytest.fixture(scope="module")
def okhttp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    """Return an OkHttp client that uses the exported pins of each target."""
    require("javac")
    require("libokhttp-java")
    made = Jvm("okhttp-java", tmp_path_factory.mktemp("okhttp"), lambda target: target.pins)
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.parametrize("provider", REAL.providers)
def test_okhttp_accepts_every_root_of_a_provider_and_no_other(
    provider: str, okhttp: Jvm, trusting: Path, tunnel: Tunnel, tmp_path: Path
) -> None:
    [file] = FORMATS["okhttp-java"].export(pins_of(provider)).files
    pinner = tmp_path / file.path
    pinner.write_text(file.text, encoding="utf-8")
    target = Target(
        case=provider,
        host=HOST,
        second_host="",
        port=0,
        proxy_port=tunnel.port,
        canary="",
        folder=trusting,
        accepted=("", "", "", ""),
        pins=pinner,
        pinned_pem=pinner,
        pinned_sha256="",
    )
    refused = {}
    for tunnel.root in authorities():
        ending = okhttp.run(target)
        if ending.status != 0:
            refused[tunnel.root] = ending.output
    accepted = authorities().keys() - refused.keys()
    assert accepted == roots_of(provider)
    assert all("Certificate pinning failure!" in output for output in refused.values())


@pytest.fixture(scope="module")
def folder_of_roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of all substitute roots, named by ``openssl rehash`` as on a real system."""
    folder = tmp_path_factory.mktemp("hashed")
    for number, each in enumerate(authorities().values()):
        (folder / f"{number}.pem").write_bytes(each.pem)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    return folder


def fetches(config: Path, tunnel: Tunnel, system: Path) -> bool:
    """Return whether curl accepts the server behind the tunnel.

    Args:
        config: the exported configuration file of curl.
        tunnel: the proxy that responds for the host.
        system: the folder of the roots that the system trusts.
    """
    words = ["curl", "-sS", "--noproxy", "", "--proxy", f"http://127.0.0.1:{tunnel.port}"]
    words += ["--capath", str(system), "--config", config.name, f"https://{HOST}/"]
    done = subprocess.run(
        words, cwd=config.parent, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in {0, 60}, done.stderr  # 60: the certificate was not verified
    return done.stdout == "accepted"


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.peer("openssl")
def test_curl_accepts_every_root_of_a_provider_and_no_other(
    tunnel: Tunnel, folder_of_roots: Path, tmp_path: Path
) -> None:
    bundle = AuthorityFile("bundle.pem", tuple(each.certificate for each in authorities().values()))
    exported = FORMATS["curl"].export(pins_of("google"), ca_file=bundle)
    assert not exported.omissions
    for file in exported.files:
        (tmp_path / file.path).write_text(file.text, encoding="utf-8")
    config = tmp_path / exported.files[0].path
    accepted = set()
    for tunnel.root in authorities():
        if fetches(config, tunnel, folder_of_roots):
            accepted.add(tunnel.root)
    assert accepted == roots_of("google")


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.peer("openssl")
def test_without_its_folder_setting_curl_would_trust_the_system_too(
    tunnel: Tunnel, folder_of_roots: Path, tmp_path: Path
) -> None:
    bundle = AuthorityFile("bundle.pem", tuple(each.certificate for each in authorities().values()))
    config, anchors = FORMATS["curl"].export(pins_of("google"), ca_file=bundle).files
    (tmp_path / anchors.path).write_text(anchors.text, encoding="utf-8")
    path = tmp_path / config.path
    path.write_text(config.text.replace('capath = "/dev/null"\n', ""), encoding="utf-8")
    tunnel.root = OTHERS[0]
    assert fetches(path, tunnel, folder_of_roots)
