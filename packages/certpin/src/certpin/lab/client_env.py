"""The files and environment variables of a client: trusted roots, pins, and the address of the lab.

The folder only contains files for the client: certificates, pins, and the client
certificate with its key. The lab's keys stay in memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from certpin.lab.case import CannotServeError
from certpin.lab.target import PROXY_ADDRESS
from certpin.pinfile.editor import PinFileEditor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from certpin.lab.target import Target
    from certpin.pins import PinSet


_DARWIN = sys.platform == "darwin"
_PRELOAD = "DYLD_INSERT_LIBRARIES" if _DARWIN else "LD_PRELOAD"
_SUFFIX = "1.dylib" if _DARWIN else "so.1"
# The build for programs with threads first: it serves those without as well.
_NAMES = (f"libfaketimeMT.{_SUFFIX}", f"libfaketime.{_SUFFIX}")
# Where Debian, Fedora, Arch and Homebrew put it.
_FOLDERS = (
    "/usr/lib/*/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/opt/homebrew/lib/faketime",
)
_FIX = "install libfaketime: apt-get install libfaketime"


def moved_clock(by: timedelta) -> dict[str, str]:
    """The variables that move the clock of a program; none for its own time.

    A program that is linked statically, as those of Go often are, does not see them.
    Raises ``CannotServeError`` if libfaketime is missing.
    """
    if not by:
        return {}
    library = faketime()
    if library is None:
        raise CannotServeError("moving the client's clock takes libfaketime", fix=_FIX)
    before = os.environ.get(_PRELOAD)
    return {
        _PRELOAD: f"{library}:{before}" if before else str(library),
        "FAKETIME": f"{by.total_seconds():+.0f}",
        # Time-outs must still end, and the dates of files are no dates of certificates.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DISABLE_SHM": "1",  # a client that is killed would leave some behind
    }


def faketime() -> Path | None:
    """Return the path of libfaketime, or None."""
    return next(_places(), None)


def _places() -> Iterator[Path]:
    for name in _NAMES:
        for folder in _FOLDERS:
            yield from sorted(Path("/").glob(f"{folder[1:]}/{name}"))


_JAVA_PASSWORD = "changeit"  # noqa: S105  # Java's own default; the store holds no secret

# Which variable each kind of client reads its roots from.
_CA_FILE = (
    "SSL_CERT_FILE",  # OpenSSL, Python, Go, Ruby, Rust's native certificates
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "CERTPIN_LAB_CA",
)
_HTTPS_PROXY = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HTTP_PROXY = ("HTTP_PROXY", "http_proxy")


def write_client_files(folder: Path, trusted_pem: bytes) -> None:
    """Write the files that every client gets: trusted roots, trust store, an empty directory."""
    (folder / "trusted.pem").write_bytes(trusted_pem)
    (folder / "trusted.p12").write_bytes(_java_store(trusted_pem))
    (folder / "no-certificates").mkdir()


def write_pins(path: Path, pins: PinSet) -> None:
    """Write a pin file for one run. It is not synced to disk."""
    editor = PinFileEditor.new(path, pins.name)
    for policy in pins.policies:
        editor.add_host(policy)
    editor.raise_version()
    editor.check()
    path.write_text(editor.text, encoding="utf-8")


def environment(target: Target, via: str) -> dict[str, str]:
    """Return the variables that lead a client to the lab.

    The user's own proxy variables are replaced by empty ones.

    Args:
        target: the case.
        via: ``port``, ``connect`` or ``socks5``. URLs name the lab's port for ``port`` only.

    Raises:
        CannotServeError: the client's clock must be moved, and libfaketime is missing.
    """
    if via == "port":
        target = target.direct
    proxy = {"connect": target.proxy, "socks5": target.socks}.get(via, "")
    variables = dict.fromkeys(_CA_FILE, str(target.ca))
    variables |= dict.fromkeys((*_HTTPS_PROXY, *_HTTP_PROXY), proxy)
    variables |= {"NO_PROXY": "", "no_proxy": ""}
    variables |= {
        "SSL_CERT_DIR": str(target.folder / "no-certificates"),
        "JAVA_TOOL_OPTIONS": _java_options(target, via),
        "CERTPIN_PINS": str(target.pins),
        "CERTPIN_LAB_CASE": target.case,
        "CERTPIN_LAB_HOST": target.host,
        "CERTPIN_LAB_HOST2": target.second_host,
        "CERTPIN_LAB_ADDRESS": target.address,
        "CERTPIN_LAB_PORT": str(target.port),
        "CERTPIN_LAB_PROXY": target.proxy,
        "CERTPIN_LAB_URL": target.url,
        "CERTPIN_LAB_URL2": target.second_url,
        "CERTPIN_LAB_PINS": " ".join(target.accepted[:2]).strip(),
        "CERTPIN_LAB_COMPROMISED": target.compromised,
        "CERTPIN_LAB_CERT": str(target.pinned_pem),
        "CERTPIN_LAB_FINGERPRINT": target.pinned_sha256,
        "CERTPIN_LAB_EXPORTS": str(target.exports.folder) if target.exports else "",
        "CERTPIN_LAB_CLIENT_CERT": str(target.client_certificate),
        "CERTPIN_LAB_CLIENT_KEY": str(target.client_key),
    }
    return variables | moved_clock(target.clock)


def _java_options(target: Target, via: str) -> str:
    options = {
        "javax.net.ssl.trustStore": str(target.truststore),
        "javax.net.ssl.trustStorePassword": _JAVA_PASSWORD,
        "javax.net.ssl.trustStoreType": "PKCS12",
    }
    if via == "connect":
        options |= {"https.proxyHost": PROXY_ADDRESS, "https.proxyPort": str(target.proxy_port)}
        options |= {"http.proxyHost": PROXY_ADDRESS, "http.proxyPort": str(target.proxy_port)}
        options |= {"http.nonProxyHosts": ""}
    if via == "socks5":
        options |= {"socksProxyHost": PROXY_ADDRESS, "socksProxyPort": str(target.proxy_port)}
    return " ".join(f"-D{name}={value}" for name, value in options.items())


def _java_store(trusted_pem: bytes) -> bytes:
    certificates = [
        pkcs12.PKCS12Certificate(each, b"lab-%d" % index)
        for index, each in enumerate(x509.load_pem_x509_certificates(trusted_pem))
    ]
    encryption = BestAvailableEncryption(_JAVA_PASSWORD.encode())
    return pkcs12.serialize_java_truststore(certificates, encryption)
