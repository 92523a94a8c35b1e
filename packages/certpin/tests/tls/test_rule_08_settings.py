"""Rule 8: every setting of a context applies to hosts with a trust file, in every Python."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from certpin import HostPolicy, PinnedSSLContext
from certpin.lab import Authority
from certpin.lab.lab_server import server_context
from certpin.x509 import contexts
from certpin.x509.openssl import OwnSSLContext
from tests import kit
from tests.tls._handshakes import HOST, Wire, for_clients
from tests.tls._servers import asking_for_certificate

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = "shop.example"
since_3_15 = pytest.mark.since_python("3.15")

# All public names of ``ssl.SSLContext`` in Python 3.15, apart from its setters (``set_…``).
MIRRORED = set(contexts._MIRRORED) | {"load_cert_chain"}
VERIFICATION = {"check_hostname", "hostname_checks_common_name", "verify_flags", "verify_mode"}
ROOTS = {"load_default_certs", "load_verify_locations"}
SERVER = {"load_dh_params", "num_tickets", "sni_callback"}
READ_ONLY = {
    *("cert_store_stats", "get_ca_certs", "get_ciphers", "get_groups", "protocol"),
    *("security_level", "session_stats"),
}
CONNECTIONS = {"sslobject_class", "sslsocket_class", "wrap_bio", "wrap_socket"}


@pytest.fixture(scope="module")
def private() -> Authority:
    """The bank's private root, which no platform trusts."""
    return Authority("Private Root")


def groups(context: Any) -> None:
    context.set_groups("secp384r1")


def ciphersuites(context: Any) -> None:
    context.set_ciphersuites("TLS_CHACHA20_POLY1305_SHA256")


def server_sigalgs(context: Any) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # in TLS 1.3, the curve names the hash
    context.set_server_sigalgs("ECDSA+SHA384")


def client_sigalgs(context: Any) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_client_sigalgs("ECDSA+SHA384")


CHANGES = pytest.mark.parametrize(
    ("change", "holds"),
    [
        (groups, lambda client: client.group() == "secp384r1"),
        (ciphersuites, lambda client: client.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"),
        (server_sigalgs, lambda client: client.server_sigalg() == "ecdsa_secp384r1_sha384"),
        (client_sigalgs, lambda client: client.client_sigalg() == "ecdsa_secp384r1_sha384"),
    ],
    ids=["groups", "ciphersuites", "server_sigalgs", "client_sigalgs"],
)


@pytest.fixture
def policies(trusted_root: Path, private: Authority, root: Authority) -> tuple[HostPolicy, ...]:
    """Return policies for two hosts, of which only ``HOST`` has a trust file."""
    own = kit.policy(HOST, private.pin, trust=kit.anchors(private))
    return own, kit.policy(PUBLIC, root.pin)


@since_3_15
@pytest.mark.parametrize("swapped", [False, True])
@CHANGES
def test_a_restriction_of_python_3_15_applies_to_the_stores(
    policies: tuple[HostPolicy, ...],
    private: Authority,
    tmp_path: Path,
    change: Any,
    holds: Any,
    swapped: bool,
) -> None:
    context = PinnedSSLContext(kit.pin_set(*policies[1 if swapped else 0 :]))
    context.load_cert_chain(*private.issue("client.example", change=for_clients).write(tmp_path))
    change(context)
    if swapped:
        context.swap(kit.pin_set(*policies, version=2))
    server = asking_for_certificate(private.issue(HOST), private)
    assert holds(Wire(context, server).shake().client)


@since_3_15
def test_the_groups_and_the_curve_are_one_setting(
    policies: tuple[HostPolicy, ...], private: Authority, root: Authority
) -> None:
    context: Any = PinnedSSLContext(kit.pin_set(*policies))
    context.set_groups("secp384r1")
    context.set_ecdh_curve("prime256v1")
    context.set_groups("secp384r1")
    client = Wire(context, server_context(private.issue(HOST))).shake().client
    assert client.group() == "secp384r1"
    client = Wire(context, server_context(root.issue(PUBLIC)), PUBLIC).shake().client
    assert client.group() == "secp384r1"


def test_every_name_of_a_context_is_known() -> None:
    """A new Python can add settings: add each to the right set, here or in ``contexts.py``."""
    names = {name for name in dir(OwnSSLContext) if not name.startswith("_")}
    setters = {name for name in names if name.startswith("set_")}
    assert setters <= {
        *contexts._REPEATED, *contexts._OVERWRITES, *contexts._NOT_REPEATED, "set_alpn_protocols",
    }  # fmt: skip
    assert names - setters <= {
        *MIRRORED, *VERIFICATION, *ROOTS, *SERVER, *READ_ONLY, *CONNECTIONS,
    }  # fmt: skip


@pytest.mark.medium
def test_a_setter_that_certpin_does_not_know_raises_an_error() -> None:
    program = """if True:
        import ssl
        ssl.SSLContext.set_novelty = lambda self, value: None  # as a Python of the future
        import certpin
        from tests import kit
        pins = kit.pin_set(kit.policy("bank.example", kit.NOBODY, kit.NOBODY_ELSE))
        try:
            certpin.PinnedSSLContext(pins).set_novelty("x")
        except certpin.ConfigError as exc:
            print(exc)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "certpin does not know set_novelty()" in done.stdout
