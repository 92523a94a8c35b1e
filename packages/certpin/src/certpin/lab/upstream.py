"""Run the lab in front of the user's real server, so that a released app can be attacked.

The lab has the chain of the real server, which is public, but not its key. In the good control (the
case with an honest server) it relays the connection to the real server unchanged. The lab's
attackers have the real certificates, as real attackers do. A case that needs the private key of the
real server or of its authority is reported as not run.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography import x509

from certpin import pinfile
from certpin.errors import ConfigError
from certpin.lab.case import CannotServeError
from certpin.lab.pki import Authorities, Style, TestPKI, made_once
from certpin.lab.scenario import Opening, Role, ServerStep
from certpin.lab.server.protocols import PROTOCOLS
from certpin.pins import HostPattern, HostServer, utc_now, verify
from certpin.pins.hosts import join_address
from certpin.pins.verdict import advice, explain, pin_command
from certpin.probe import Endpoint, observe, probe_context, served_at, split_address
from certpin.probe.dial import ContextCache
from certpin.support.text import printable
from certpin.x509.certificate import without_deprecations
from certpin.x509.chain import platform_roots

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, PinSet, Verdict
    from certpin.x509 import Chain


@dataclass(frozen=True)
class Upstream:
    """The user's real server: its address, its chain, and the pins that the client has for it.

    Attributes:
        address: the IP address and the port to which the lab relays honest connections.
        chain: the certificates that the server sent, leaf first.
        roots: the roots that the client trusts for this server, as PEM. The client also trusts R2,
            the root of the lab's attacker.
        pins: the pin set in the user's pin file; None if the user gave none.
        pin_file: the path of this file; None if the user gave none.
        options: the options of the command line with which the user chose the server, for ``fix``.
        unpinned: why a client with the pins refuses the server; empty if it accepts the server, or
            if the server's chain did not verify.
        unpinned_fix: the fix, with commands.
    """

    address: tuple[str, int]
    chain: Chain
    roots: bytes
    pins: PinSet | None = None
    pin_file: Path | None = None
    options: tuple[str, ...] = ("--upstream",)
    unpinned: str = ""
    unpinned_fix: str = ""

    @property
    def fix(self) -> str:
        """The fix to show for a case that can't be run with a real server.

        It is to leave out the options with which the user chose the server.
        """
        return f"leave {' and '.join(self.options)} out, and give the client the lab's own pins"

    @property
    def address_text(self) -> str:
        """The IP address and port, such as ``192.0.2.7:443`` or ``[2001:db8::7]:443``."""
        return join_address(*self.address)

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The chain that the real server sent, leaf first."""
        with without_deprecations():
            return tuple(map(x509.load_der_x509_certificate, self.der))

    @property
    def der(self) -> tuple[bytes, ...]:
        """The chain that the real server sent, leaf first, in DER."""
        return tuple(certificate.der for certificate in self.chain.certificates)


def find_upstream(
    host: str,
    protocol: str,
    pin_file: Path | None = None,
    address: str | None = None,
    roots: str | None = None,
) -> Upstream:
    """Connect to the user's real server of a host, and return its address, chain and pins.

    Args:
        host: the host under test.
        protocol: the protocol of the client, a key of ``PROTOCOLS``, such as ``http``.
        pin_file: the user's pin file, which can also name the server's address.
        address: the server's address; by default that of the pin file, or else the host.
        roots: trust only these authorities (PEM); by default those of this machine.

    Returns:
        The server.

    Raises:
        ConfigError: the pin file does not cover the host.
        ProbeError: the server does not answer.
    """
    pins = pinfile.PinSet.load(pin_file) if pin_file else None
    policy = pins.policy_for(host) if pins else None
    if pins and not policy:
        raise ConfigError(f"{pin_file} has no pins for {host}", fix="name its host: --host")
    default = _server(host, policy) if policy and not address else host
    connect = split_address(address or default, PROTOCOLS[protocol].port)
    trust = policy.trust if policy and not roots else None
    context = ContextCache().get(trust) if trust else probe_context(roots)
    observation = observe(Endpoint(host, connect[1], connect), context)
    pem = roots.encode() if roots else platform_roots()
    # The observed address, because the name may resolve differently later.
    relayed = (observation.address, connect[1])
    given = {"--pins": pin_file, "--upstream": address}
    options = tuple(option for option, value in given.items() if value)
    found = Upstream(relayed, observation.served, pem, pins, pin_file, options)
    if not policy or not observation.verified:
        return found
    verdict = verify(observation.verified, policy, utc_now())
    return _with_refusal(found, host, verdict) if verdict.decision == "refuse" else found


def _with_refusal(upstream: Upstream, host: str, verdict: Verdict) -> Upstream:
    """Return the server with the reason why a client with the pins refuses it, and with the fix.

    Args:
        upstream: the server.
        host: the host under test.
        verdict: the decision of a client with the pins about the server's chain.
    """
    file, address = str(upstream.pin_file), upstream.address_text
    problem = f"clients with the pins of {printable(file)} refuse the real server at {address}"
    named = ["--file", file, "--host", host, "--connect", address]
    fix = f"compare them: {printable(shlex.join(['certpin', 'check', *named]))}"
    server = HostServer(*upstream.address)
    if verdict.reason == "mismatch":
        why = "no pin of the file matches its key, nor another key of its chain"
        status = printable(shlex.join(["certpin", "rotate", "status", "--file", file]))
        path = printable(shlex.join(["certpin", "rotate", "emergency", "--file", file]))
        fix += (
            f". While no client has the file, write the pin of the server's key into it, which "
            f"{pin_command(verdict.policy, host, server)} prints. If clients have it, see which "
            f"keys they accept ({status}), and print how to let them in again: {path} KEY --lost"
        )
    else:
        why = explain(verdict, host).splitlines()[0].partition(": ")[2]
    fix += f"; {advice(verdict, host, server)}"
    return replace(upstream, unpinned=f"{problem}: {why}", unpinned_fix=fix)


def _server(host: str, policy: HostPolicy) -> str:
    """Return the address of the first server for a host in the pin file, or else the host's name.

    ``policy`` is the policy of the host in the pin file.
    """
    for name, server in served_at(policy):
        if name == host:
            return server.address_text(HostPattern("", host)) or host
    return host


class UpstreamAuthorities(Authorities):
    """The authorities of a run in which the lab relays connections to the user's real server.

    The base class makes the authorities with which the lab's attackers sign certificates, such as
    R2, a root that the client trusts; the lab has their private keys. The authorities that
    certified the real server belong to someone else: the lab knows only their roots
    (``Upstream.roots``), which the client must trust, too.
    """

    def __init__(self, now: datetime, upstream: Upstream) -> None:
        super().__init__(now)
        self._upstream = upstream

    @property
    def trusted_pem(self) -> bytes:
        """The roots that the client trusts, as PEM: the real server's, and R2, the attacker's."""
        return self._upstream.roots + self.rogue.pem


class UpstreamPKI(TestPKI):
    """The keys and certificates of a run in which the lab relays to the user's real server.

    The lab knows the chain of the real server, but has no private key of this chain.
    """

    def __init__(
        self,
        authorities: Authorities,
        host: str,
        second: str,
        style: Style,
        upstream: Upstream,
    ) -> None:
        super().__init__(authorities, host, second, style)
        keyless = partial(_Keyless, upstream.fix)
        # The lab can't sign with the keys of these.
        self.root: Any = keyless("the trusted root")
        self.intermediate: Any = keyless("the issuer of the real server")
        self.second_intermediate: Any = keyless("another intermediate of the trusted root")
        self.leaf: Any = keyless("the real server")
        self.backup: Any = keyless("the real server's backup")
        self.second_leaf: Any = keyless("the real second server")
        self._upstream = upstream

    @property
    def real_chain(self) -> tuple[x509.Certificate, ...]:
        """The chain of the real server, leaf first."""
        return self._upstream.certificates

    @property
    def honest(self) -> ServerStep:
        """How the lab serves a connection without an attack: it relays the connection.

        The connection goes to the user's real server, unchanged.
        """
        return ServerStep(self._upstream.der, b"", role=Role.HONEST, opening=Opening.RELAY)

    @property
    def lab_honest(self) -> ServerStep:
        """Raises ``CannotServeError``, because the real server chooses its answers itself.

        Cases that need this step are then reported as not run.
        """
        raise CannotServeError(
            "the lab must choose the honest server's answers, and here a real server answers",
            fix=self._upstream.fix,
        )

    @made_once
    def pins(self) -> PinSet | None:
        """The client's pin set for the real server; ``None`` if the user gave no pin file."""
        return self._upstream.pins


class _Keyless:
    """A placeholder for an authority or a server with a private key that the lab does not have.

    Any use raises ``CannotServeError``.
    """

    def __init__(self, fix: str, whose: str) -> None:
        self._fix = fix
        self._whose = whose

    def __getattr__(self, name: str) -> NoReturn:
        raise CannotServeError(f"it needs the private key of {self._whose}", fix=self._fix)
