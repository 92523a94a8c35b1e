"""The scenario of a case: how the lab serves each connection of the client.

Scenarios contain only data. ``certpin.lab.attacks`` builds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from certpin.pins.hosts import bracketed
from certpin.x509.der import describe_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from certpin.lab.authority import Identity


class Role(StrEnum):
    """Which server the lab plays on a connection: attacker, honest server or unpinned host.

    An unpinned host is no attacker, but data that arrives there is no longer protected by pins.
    Reports print the value.
    """

    ATTACKER = "attacker"
    HONEST = "honest server"
    # Not an attacker, but data that arrives here is no longer protected by pins.
    UNPINNED = "host without pins"


class Answer(StrEnum):
    """How a server of the lab answers a client's request under TLS.

    ``OK`` and ``KEEP`` send a short answer with the lab's token, a random text. ``SILENT`` sends
    nothing. The others redirect the client: to the same host (``REDIRECT_SAME``,
    ``REDIRECT_ONCE``), to the second host, to clear text, to a host without pins, or to another
    port. With ``KEEP``, ``REDIRECT_ONCE`` and ``REDIRECT_SECOND_KEEP``, the connection stays open;
    with all others, the server closes it.
    """

    OK = "ok"  # 200 with the token of the lab; then the server closes
    KEEP = "keep"  # the same, and the connection stays open
    SILENT = "silent"  # no answer: the server closes when the request is complete
    REDIRECT_SAME = "redirect-same"  # to the same host, on a new connection
    # The same for all other URLs, and the connection stays open.
    REDIRECT_ONCE = "redirect-once"
    REDIRECT_SECOND = "redirect-second"  # to the second host
    # The same, and the connection stays open, also for requests to the second host.
    REDIRECT_SECOND_KEEP = "redirect-second-keep"
    REDIRECT_PLAIN = "redirect-plain"  # to http:// on the same host
    REDIRECT_UNPINNED = "redirect-unpinned"  # to a host without pins
    REDIRECT_PORT = "redirect-port"  # to another port of the same host


# The answers after which the connection stays open.
KEEPING = {Answer.KEEP, Answer.REDIRECT_ONCE, Answer.REDIRECT_SECOND_KEEP}
# The other port of the host under test, to which ``REDIRECT_PORT`` leads clients that use a proxy.
# It is one that no real client uses for its ordinary requests.
OTHER_PORT = 10443
# The name in the outer ClientHello of a client that offers ECH (RFC 9849 section 6.1).
PUBLIC_NAME = "public.ech.example"
# The address of the lab's proxy.
PROXY_ADDRESS = "127.0.0.1"


@dataclass
class AnswerContext:
    """The content for answers of the lab: its token, and the URLs to redirect to.

    Attributes:
        token: a random text. If a client prints it, the client has read an answer.
        same: the URL of a redirect to the first host.
        second: the URL of a redirect to the second host.
        plain: the URL of a redirect to the first host in clear text.
        unpinned: the URL of a redirect to a host without pins.
        other_port: the URL of a redirect to another port of the first host.
        http3_port: the UDP port on which the lab serves HTTP/3; 0 if it doesn't.
    """

    token: str
    same: str = "/again"
    second: str = ""
    plain: str = ""
    unpinned: str = ""
    other_port: str = ""
    http3_port: int = 0  # the number of the UDP port

    def alt_svc(self, step: ServerStep) -> str:
        """Return the value of the header ``Alt-Svc`` (RFC 7838), which offers HTTP/3 to the client.

        The result is empty if the step (how the lab serves the connection) offers no HTTP/3.
        """
        return f'h3=":{self.http3_port}"; ma=86400' if step.offers_http3 else ""

    def set_hosts(self, hosts: Sequence[str], port: int = 0, other: int = OTHER_PORT) -> None:
        """Set the URLs to which answers redirect the client.

        Args:
            hosts: the first, the second and the unpinned host.
            port: the lab's port, for the URLs. If it is 0, the URLs have no port, because a proxy
                or a route directs clients to the lab.
            other: the other port of the first host.
        """
        self.other_port = f"https://{bracketed(hosts[0])}:{other}/"
        suffix = f":{port}" if port else ""
        first, second, *others = (f"{bracketed(host)}{suffix}/" for host in hosts)
        self.plain, self.second = f"http://{first}", f"https://{second}"
        self.unpinned = f"https://{others[0]}" if others else ""

    def redirect_url(self, answer: Answer, path: str) -> str:
        """Return the URL to which an answer redirects the client; empty if it does not redirect.

        ``answer`` is the kind of answer, and ``path`` the path of the client's request.
        """
        return {
            Answer.REDIRECT_SAME: self.same,
            Answer.REDIRECT_ONCE: "" if path == self.same else self.same,
            Answer.REDIRECT_SECOND: self.second,
            Answer.REDIRECT_SECOND_KEEP: self.second,
            Answer.REDIRECT_PLAIN: self.plain,
            Answer.REDIRECT_UNPINNED: self.unpinned,
            Answer.REDIRECT_PORT: self.other_port,
        }.get(answer, "")


class Opening(StrEnum):
    """How a server of the lab behaves at the start of a connection, before TLS begins.

    Honest servers begin TLS or relay the connection to the real server. The other values are
    attacks in clear text, connections that are closed early, and delays.
    """

    TLS = "tls"  # begins TLS: at once, or after STARTTLS
    PLAIN = "plain"  # answers the ClientHello in clear text
    STRIP = "strip"  # does not offer STARTTLS
    RELAY = "relay"  # relays the connection to the real server unchanged
    INJECT = "inject"  # appends plaintext answers to the reply to STARTTLS
    CLOSE = "close"  # reads the ClientHello, and closes the connection
    RESET = "reset"  # the same, with a TCP reset
    STALL = "stall"  # the same, after the time for which the lab stalls
    SLOW = "slow"  # begins TLS after the time for which the lab stalls
    PROXY = "proxy"  # no server: the proxy answers the request for a tunnel itself


# The openings that tamper with the part before TLS.
BEFORE_TLS = {Opening.STRIP, Opening.INJECT}
# Those that end the connection in the handshake, before the client knows who served it.
INTERRUPTED = {Opening.CLOSE, Opening.RESET, Opening.STALL}
# Seconds for which ``STALL`` and ``SLOW`` keep a client waiting, unless a run sets another time.
STALL_SECONDS = 3.0


class Weakness(StrEnum):
    """A weak TLS feature or flaw that a server of the lab has, such as 3DES.

    OpenSSL, or many builds of it, can't produce it, so the lab makes the TLS records itself.
    """

    TRIPLE_DES = "3des"
    SMALL_GROUP = "small-group"  # Diffie-Hellman with a prime of 512 bits
    EARLY_CHANGE = "early-change"  # ChangeCipherSpec before the keys are exchanged


@dataclass(frozen=True)
class TLSSettings:
    """The TLS settings with which the lab serves a connection.

    Attributes:
        oldest: the oldest TLS version, by its name in Python's ``ssl``; empty for OpenSSL's
            default.
        newest: the newest TLS version, by its name in Python's ``ssl``; empty for OpenSSL's
            default.
        ciphers: the cipher suites in OpenSSL's syntax; empty for OpenSSL's defaults.
        dh_params: the group for Diffie-Hellman without curves, as PEM; empty for OpenSSL's default.
        tickets: server steps with the same text accept each other's session tickets.
        asks_certificate: True if the server asks for a client certificate.
        needs_certificate: True if the server also ends the handshake if the client has none.
        weakness: a weakness that OpenSSL can't offer; the lab's own TLS 1.2 then serves the
            connection. None for OpenSSL.
    """

    oldest: str = "TLSv1_2"
    newest: str = "TLSv1_3"
    ciphers: str = ""
    dh_params: str = ""
    tickets: str = ""  # steps with the same value share the keys of their session tickets
    asks_certificate: bool = False
    needs_certificate: bool = False  # ends the handshake if the client has none
    weakness: Weakness | None = None  # served by ``server.weak_tls``, in TLS 1.2


@dataclass(frozen=True)
class ServerStep:
    """How the lab serves one connection: its certificates, key, TLS settings and answer.

    Attributes:
        chain: the certificates as DER, exactly as sent, leaf first.
        key_pem: the key that signs the handshake. It need not be the key of the leaf.
        role: the server that the lab plays.
        foreign: a host that the client must not request on this connection, because it did not
            check the pins of this host. Such requests count as leaked data. Empty for none.
        settings: the TLS versions and ciphers, and other TLS settings.
        answer: how the server answers a request under TLS.
        opening: how the server behaves before TLS begins.
        alpn: the protocols that the server speaks, best first; ``None`` for those of the lab.
        staple: an OCSP response (DER) for clients that ask for one; empty for none.
        offers_http3: True if answers invite the client to HTTP/3 (Alt-Svc).
    """

    chain: tuple[bytes, ...]
    key_pem: bytes
    role: Role = Role.ATTACKER
    foreign: str = ""
    settings: TLSSettings = TLSSettings()
    answer: Answer = Answer.OK
    opening: Opening = Opening.TLS
    alpn: tuple[str, ...] | None = None
    staple: bytes = b""
    offers_http3: bool = False

    @classmethod
    def of(cls, identity: Identity, *appended: Any, **fields: Any) -> Self:
        """Return a step (how the lab serves a connection) with the chain and key of an identity.

        Args:
            identity: the key and the chain.
            appended: certificates (``x509``) that are sent after the chain.
            fields: other fields of the step.
        """
        sent = (*identity.chain, *appended)
        chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in sent)
        return cls(chain, identity.key_pem, **fields)

    @property
    def private_key(self) -> PrivateKeyTypes:
        """The key of ``key_pem``.

        An RSA key is not validated, because this takes seconds for a key of 8192 bits. It is valid
        anyway: the lab made the key, or validated the user's key when it read it.

        Raises:
            ValueError: ``key_pem`` contains no key.
            cryptography.exceptions.UnsupportedAlgorithm: the key is on an unknown curve.
        """
        return load_pem_private_key(self.key_pem, None, unsafe_skip_rsa_key_validation=True)

    @property
    def key_type(self) -> str:
        """The type and size of the server's key, such as ``RSA 2048``."""
        public_key = self.private_key.public_key()
        return describe_key(
            public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    def but(self, **fields: Any) -> Self:
        """Return a copy of the step (how the lab serves a connection) with other values.

        ``fields`` are the new values, by the name of the attribute.
        """
        return replace(self, **fields)


@dataclass(eq=False)
class RevocationList:
    """A list of revoked certificates (CRL) that the lab serves for one scenario.

    Attributes:
        url: the address of the list, which the checked certificate names.
        der: the signed list (RFC 5280 section 5).
        fetched: True once a client has fetched it.
    """

    url: str
    der: bytes = b""
    fetched: bool = False


@dataclass(frozen=True)
class Scenario:
    """How the lab serves the connections of a case: a step for each connection to a host, in order.

    The last step of each host repeats. Fields with steps are empty if the case has no such
    connections.

    Attributes:
        first: the steps of the host under test.
        second: the steps of the second host.
        canary_only: True if data that an attacker received counts only if it contains the canary,
            the random text in the URL that the client was given.
        unpinned: the steps of a host without pins, to which a redirect leads.
        lures: True if honest servers invite the client to the attack, such as by a redirect. A
            client that does not follow the invitation has refused.
        odd_host: True if a client may refuse the host before it connects, because of its spelling.
        other_port: the steps of connections to another port of the host under test.
        other_kind: the steps of connections to the host under test that come from another TLS
            library, or from other settings of it, than the first one (``ClientHello.kind``).
        proxy_status: the HTTP status with which the lab's proxy itself answers each request for a
            tunnel (CONNECT); 0 if it opens the tunnel.
        http3: the step of every connection over QUIC; None if the lab serves no HTTP/3.
        crl: the list of revoked certificates that the server's certificate names; None if it names
            none.
        tls_proxy: the step of the TLS to the lab's proxy, if clients reach it by ``https://``; else
            None.
        ech: the steps of connections to the public name of the lab's configuration for Encrypted
            ClientHello (ECH). A client gets this configuration only if there are any.
    """

    first: tuple[ServerStep, ...]
    second: tuple[ServerStep, ...] = ()
    # Whether data sent to an attacker counts only if it contains the canary: for clients that may
    # send one request on that connection and must not send another.
    canary_only: bool = False
    unpinned: tuple[ServerStep, ...] = ()  # of an unpinned host, the target of a redirect
    # Whether honest servers invite the client to follow a redirect or to share a connection. A
    # client that does not do so has refused.
    lures: bool = False
    # Whether a client may refuse the host that it is given before it connects, because of its
    # spelling.
    odd_host: bool = False
    # Of connections to another port of the host under test.
    other_port: tuple[ServerStep, ...] = ()
    # Of connections to the host under test of another kind than its first one: by another TLS
    # library, or with other settings of it (``ClientHello.kind``).
    other_kind: tuple[ServerStep, ...] = ()
    # The status with which the HTTP proxy answers each request for a tunnel (CONNECT) itself; 0 if
    # it opens the tunnel. No other way to the lab meets this attack.
    proxy_status: int = 0
    # The step of every connection over QUIC (UDP); None if the lab serves no HTTP/3.
    http3: ServerStep | None = None
    # The list of revoked certificates that the server's certificate names; None if it names none.
    crl: RevocationList | None = None
    # How the lab's proxy serves TLS, if the client reaches it by ``https://``: its tunnels, and the
    # hosts in them, are inside that TLS.
    tls_proxy: ServerStep | None = None
    # Of connections to the public name of the lab's ECH configuration (``PUBLIC_NAME``). A client
    # gets that configuration only if there are any.
    ech: tuple[ServerStep, ...] = ()

    @classmethod
    def of(
        cls, *steps: ServerStep, second: tuple[ServerStep, ...] = (), canary_only: bool = False
    ) -> Self:
        """Return a scenario with these steps, one for each connection to the host under test.

        Args:
            steps: how the lab serves the connections, in order. The last step repeats.
            second: the steps of the second host.
            canary_only: True if data that an attacker received counts only if it contains the
                canary, the random text in the URL that the client was given.
        """
        return cls(steps, second, canary_only)

    @classmethod
    def legitimate(cls, identity: Identity, *appended: Any) -> Self:
        """Return a scenario without an attack: one honest server with a chain and key.

        Args:
            identity: the chain and the key.
            appended: certificates that are sent after the chain.
        """
        return cls.of(ServerStep.of(identity, *appended, role=Role.HONEST))

    @property
    def attacks(self) -> bool:
        """True if data of the client can reach an attacker or an unpinned host.

        The value is also True if an honest server invites the client to an attack, such as by a
        redirect to another host (``lures``), or if the proxy is hostile (``proxy_status``).
        """
        invited = self.lures or self.proxy_status > 0
        return invited or any(step.role is not Role.HONEST for step in self.steps)

    @property
    def needs_proxy(self) -> bool:
        """True if the attack of the case only reaches clients that use the lab's HTTP proxy."""
        return self.proxy_status > 0 or self.tls_proxy is not None

    @property
    def steps(self) -> tuple[ServerStep, ...]:
        """All steps of the scenario. A step is how the lab serves one connection.

        These are the steps for connections to hosts (over TCP and QUIC), of clients that offer ECH,
        and to a proxy that speaks TLS.
        """
        hosts = self.first + self.second + self.unpinned + self.other_port + self.other_kind
        return (*hosts, *self.ech, *(step for step in (self.http3, self.tls_proxy) if step))


# On a connection to a proxy that answers the request for a tunnel itself.
PROXY_STEP = ServerStep((), b"", opening=Opening.PROXY)

VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_ANY = TLSSettings()


def fit(scenario: Scenario, *, tls: str = "", client_certificates: bool = False) -> Scenario:
    """Return the scenario of a case, adapted to the options of a run.

    Args:
        scenario: the scenario of a case.
        tls: the only TLS version, ``1.2`` or ``1.3``; empty for both. Steps that already set a TLS
            version keep it, and QUIC always uses TLS 1.3.
        client_certificates: True if honest servers require a client certificate. The good control,
            a case with an honest server, then proves that the client has such a certificate.

    Returns:
        The scenario with these options.
    """

    def change(step: ServerStep) -> ServerStep:
        settings = step.settings
        if tls and (settings.oldest, settings.newest) == (_ANY.oldest, _ANY.newest):
            settings = replace(settings, oldest=VERSIONS[tls], newest=VERSIONS[tls])
        if client_certificates and step.role is Role.HONEST:
            settings = replace(settings, needs_certificate=True)
        return step if settings is step.settings else step.but(settings=settings)

    return replace(
        scenario,
        first=tuple(map(change, scenario.first)),
        second=tuple(map(change, scenario.second)),
        unpinned=tuple(map(change, scenario.unpinned)),
        other_port=tuple(map(change, scenario.other_port)),
        other_kind=tuple(map(change, scenario.other_kind)),
    )
