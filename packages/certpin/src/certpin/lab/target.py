"""The target of one case: the data with which a client is directed to the lab.

These are the lab's address, the roots to trust, and the pins. If a client reads its pins from a
file that ``certpin export`` writes, its command can request this file with a placeholder.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from certpin.errors import ConfigError
from certpin.formats import FORMATS, only
from certpin.formats.limits import AnchorsOnly, LeafOrAnchors, OneHost
from certpin.lab.case import CannotServeError
from certpin.lab.scenario import PROXY_ADDRESS
from certpin.pins import TrustAnchors, normalise
from certpin.pins.hosts import bracketed, join_address

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.formats import Format
    from certpin.lab.pki import TestPKI
    from certpin.pins import HostPolicy, Pin, PinSet


_T = TypeVar("_T")


@dataclass(frozen=True)
class Target:
    """One case as the client gets it: where to connect, which roots to trust, which pins to check.

    The URLs in ``url`` and ``second_url`` have no port, for clients that use the lab's proxy. A
    client without a proxy takes the URLs of ``direct``, which have the lab's port.

    Attributes:
        case: the name of the case.
        host: the host that the client has to request.
        second_host: a second host, for cases about two hosts.
        port: the lab's TCP port for direct connections.
        proxy_port: the port of the lab's proxy, which accepts HTTP (CONNECT) and SOCKS5.
        canary: a random text in the URLs: if it arrives at the lab, the client sent its request.
        folder: the folder with the files that the client gets.
        accepted: the values of ``pin``, ``backup``, ``second_pin`` and ``second_backup``.
        pins: the path of a pin file with the client's pins.
        pinned_pem: the path of the PEM file that ``certificate`` returns.
        pinned_sha256: the value of ``fingerprint``.
        address: the IP address on which the lab listens.
        url_port: the port in the URLs; 0 for URLs without a port.
        elsewhere: True if ``host`` is not the host of the run, so that the client must be directed
            to it.
        clock: by how much the client's clock must be moved.
        time: the time at which the client's clock must be stopped, with a time zone; None if it
            runs.
        dns_port: the port of the lab's DNS resolver on 127.0.0.1; 0 if there is none.
        exports: the pins as files in the formats of ``certpin export``; None if there are none.
        compromised: the pin of the key that ``pins`` marks as compromised; empty if it marks none.
        requires_ct: True if ``pins`` requires Certificate Transparency.
        only_by_proxy: True if only a client that uses the HTTP proxy meets the attack.
        tls_proxy: True if the client reaches the proxy by TLS.
        ech: the lab's configuration for Encrypted ClientHello (an ECHConfigList) as base64; empty
            if the case has none.
    """

    case: str
    host: str
    second_host: str
    port: int
    proxy_port: int
    canary: str
    folder: Path  # the files that clients get
    accepted: tuple[str, str, str, str]  # ``pin``, ``backup``, ``second_pin``, ``second_backup``
    pins: Path  # the pins, as a pin file
    pinned_pem: Path  # ``certificate``
    pinned_sha256: str  # ``fingerprint``
    address: str = "127.0.0.1"
    url_port: int = 0  # the port that URLs name; 0 if they name none
    # Whether ``host`` differs from the host under test, so that the client must be directed there.
    elsewhere: bool = False
    clock: timedelta = timedelta(0)  # how far the client's clock must be moved
    time: datetime | None = None  # at which the client's clock must be stopped, with a time zone
    dns_port: int = 0  # of the resolver on 127.0.0.1; 0 if there is none
    exports: Exports | None = None  # the pins in the formats of other platforms
    compromised: str = ""  # the key that ``pins`` marks compromised, if it marks one
    requires_ct: bool = False  # whether ``pins`` requires Certificate Transparency
    only_by_proxy: bool = False  # whether only a client of ``proxy`` meets the attack
    tls_proxy: bool = False  # whether the client reaches ``proxy`` by TLS
    ech: str = ""  # an ECHConfigList to offer ECH with, as base64; empty in most cases

    @property
    def pin(self) -> str:
        """The client's first pin for the host: ``sha256/…``; empty if the lab knows none.

        The lab's pins begin with that of the honest server's key; or of its issuer's key, if the
        client pins authorities. This attribute is for clients that have no pin file, and get the
        keys or the certificate to accept instead. The attributes ``backup``, ``second_pin``,
        ``second_backup``, ``certificate`` and ``fingerprint`` are for such clients too, and raise
        the same error.

        Raises:
            CannotServeError: the case has a compromised key, or requires Certificate Transparency.
                Only a client with a pin file gets this information.
        """
        return self._without_compromised(self.accepted)[0]

    @property
    def backup(self) -> str:
        """The client's second pin for the host, its backup pin; empty if the lab knows none.

        The lab's backup pin is that of the server's backup key; or of the root's key, if the client
        pins authorities.
        """
        return self._without_compromised(self.accepted)[1]

    @property
    def second_pin(self) -> str:
        """The pin of the key of the second host's honest server, or of its issuer's key.

        It is empty if the lab knows none. Raises the same error as ``pin``.
        """
        return self._without_compromised(self.accepted)[2]

    @property
    def second_backup(self) -> str:
        """The backup pin that the client has for the second host; empty if the lab knows none.

        Raises the same error as ``pin``.
        """
        return self._without_compromised(self.accepted)[3]

    @property
    def certificate(self) -> Path:
        """The path of a PEM file with the pinned certificate of the honest chain.

        It is for clients that pin a whole certificate instead of a key. Raises the same error as
        ``pin``.
        """
        return self._without_compromised(self.pinned_pem)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of ``certificate``, as ``openssl x509 -fingerprint`` prints it."""
        return self._without_compromised(self.pinned_sha256)

    def _without_compromised(self, value: _T) -> _T:
        if self.requires_ct:
            raise CannotServeError(
                "the client is given what to accept, and no list of Certificate Transparency logs",
                fix="give it {pins}, or {export:json}",
            )
        if self.compromised:
            raise CannotServeError(
                "the client is given what to accept, and no compromised key",
                fix="give it {compromised} too, or {pins}, or {export:FORMAT} of a platform that "
                "refuses such keys",
            )
        return value

    @property
    def ca(self) -> Path:
        """The path of the roots that the client must trust, as PEM."""
        return self.folder / "trusted.pem"

    @property
    def client_certificate(self) -> Path:
        """The path of the client certificate, as PEM."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """The path of the key of the client certificate, as PEM."""
        return self.folder / "client.key"

    @property
    def truststore(self) -> Path:
        """The path of the trusted roots as a Java trust store (PKCS#12, password ``changeit``)."""
        return self.folder / "trusted.p12"

    @property
    def proxy(self) -> str:
        """The URL of the lab's HTTP proxy: ``http://127.0.0.1:PORT``.

        In cases with TLS to the proxy, it begins with ``https://``.
        """
        scheme = "https" if self.tls_proxy else "http"
        return f"{scheme}://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def socks(self) -> str:
        """The URL of the lab's SOCKS5 proxy: ``socks5h://127.0.0.1:PORT``.

        The proxy resolves host names.
        """
        return f"socks5h://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def direct(self) -> Self:
        """A copy of the target with the lab's port in its URLs, for a client without a proxy."""
        return replace(self, url_port=self.port)

    @property
    def endpoint(self) -> str:
        """The lab's address and port, joined by a colon: ``127.0.0.1:PORT`` or ``[::1]:PORT``."""
        return join_address(self.address, self.port)

    @property
    def url(self) -> str:
        """The URL that the client has to request from the host under test."""
        return self._url_of(self.host)

    @property
    def second_url(self) -> str:
        """The URL that the client has to request from the second host."""
        return self._url_of(self.second_host)

    def _url_of(self, host: str) -> str:
        port = f":{self.url_port}" if self.url_port else ""
        return f"https://{bracketed(host)}{port}/{self.canary}"

    @property
    def pinnedpubkey(self) -> str:
        """The pin and the backup pin in the format of curl's option ``--pinnedpubkey``.

        The format is ``sha256//…;sha256//…``.
        """
        return ";".join(pin.replace("sha256/", "sha256//", 1) for pin in (self.pin, self.backup))

    @property
    def anchors(self) -> Path:
        """The path of a PEM file with the authorities that are pinned for ``host``.

        It is for clients that can't check pins, and trust only these authorities instead.

        Raises:
            CannotServeError: no authority is pinned, or the pins mark a key as compromised.
        """
        return self._anchors_of(self.host)

    @property
    def second_anchors(self) -> Path:
        """The path of a PEM file with the authorities that are pinned for the second host.

        It is for clients that can't check pins, and trust only these authorities instead.

        Raises:
            CannotServeError: no authority is pinned, or the pins mark a key as compromised.
        """
        return self._anchors_of(self.second_host)

    def _anchors_of(self, host: str) -> Path:
        if self.exports is None:
            raise CannotServeError("there are no pins, so that there are no anchors")
        return self._without_compromised(self.exports.anchors(host))

    def export(self, name: str) -> Path:
        """Write the pins in a format of ``certpin export``, and return the path of the file.

        Args:
            name: the name of the format, such as ``json``.

        Raises:
            CannotServeError: the client has no pins, or the format can't express them.
        """
        if self.exports is None:
            raise CannotServeError(f"there are no pins to export to {name}")
        return self.exports.path(name)


class Exports:
    """The pins of one case as files in the formats of ``certpin export``. Thread-safe.

    Each format is written once, when it is first requested.
    """

    def __init__(self, folder: Path, pins: PinSet | None, pki: TestPKI) -> None:
        self.folder = folder
        self._pins = pins
        self._pki = pki
        self._lock = threading.Lock()
        self._written: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Return the path of the main file with the pins in a format of ``certpin export``.

        The first call for a format writes the file, and the other files of the format beside it.

        Args:
            name: the name of the format, such as ``json``.

        Raises:
            CannotServeError: the format can't express these pins.
            KeyError: there is no such format.
        """
        chosen = FORMATS[name]
        with self._lock:
            if name not in self._written:
                self._written[name] = self._write(chosen)
            return self._written[name]

    def anchors(self, host: str) -> Path:
        """Write the pinned authorities of a host as a PEM file, and return its path.

        The file is for a client that checks no pins, and trusts only these authorities instead.

        Raises:
            CannotServeError: no authority is pinned for this host.
        """
        policy = self._pins.policy_for(host) if self._pins else None
        pinned = self._pki.pinned_authorities(policy) if policy else ()
        if not pinned:
            raise CannotServeError(
                f"no authority is pinned for {host}, so that there are no anchors",
                fix="prove the client with --style ca",
            )
        name = "anchors.pem" if normalise(host) == self._pki.host else "anchors2.pem"
        path = self.folder / name
        with self._lock:
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                text = "".join(map(ssl.DER_cert_to_PEM_cert, pinned))
                path.write_text(text, encoding="ascii")
        return path

    def _write(self, chosen: Format) -> Path:
        try:
            pins = self._fitting(chosen)
            export = chosen.export(pins)
        except ConfigError as exc:
            problem = f"{chosen.name} cannot have these pins: {exc.problem}"
            raise CannotServeError(problem, fix=exc.fix) from exc
        for pin in sorted(map(str, _compromised(pins) - _compromised(export.pins))):
            problem = f"{pin} is marked compromised, and clients of {chosen.name} do not refuse it"
            raise CannotServeError(problem)
        if pins.ct_logs and export.pins.ct_logs != pins.ct_logs:
            problem = f"clients of {chosen.name} don't check SCTs by the list of logs of the pins"
            raise CannotServeError(problem)
        folder = self.folder / chosen.name
        for file in export.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            text = file.text
            if chosen.in_working_folder:  # which is that of the user: the names become paths
                for other in export.files[1:]:
                    text = text.replace(other.path, str(folder / other.path))
            path.write_text(text, encoding="utf-8")
        return folder / export.files[0].path

    def _fitting(self, chosen: Format) -> PinSet:
        """Return the client's pins, adapted to what a format can express.

        A format for one host gets only the pins of the host under test. The lab's pins have no
        trust anchors, but some formats need them. A format that can't contain pins gets the root of
        the honest server as trust anchor. A format of a platform that compares pins only with the
        leaf gets the pinned authorities as trust anchors. ``chosen`` is the format.

        Raises:
            CannotServeError: the client has no pins.
        """
        pins = self._pins
        if pins is None:
            raise CannotServeError(f"there are no pins to export to {chosen.name}")
        limits = {type(limit) for limit in chosen.limits}
        policy = pins.policy_for(self._pki.host)
        if OneHost in limits and policy:
            pins = only(pins, [str(policy.pattern)])
        if AnchorsOnly in limits and any(policy.trust is None for policy in pins.policies):
            roots = TrustAnchors(self._pki.roots, "R")
            anchored = [replace(policy, trust=policy.trust or roots) for policy in pins.policies]
            pins = replace(pins, policies=tuple(anchored))
        if LeafOrAnchors in limits:
            pins = replace(pins, policies=tuple(map(self._anchored, pins.policies)))
        return pins

    def _anchored(self, policy: HostPolicy) -> HostPolicy:
        """Return a copy of the policy with its pinned authorities as trust anchors.

        The policy is returned unchanged if it has anchors, or pins no authority.
        """
        pinned = self._pki.pinned_authorities(policy)
        if policy.trust or not pinned:
            return policy
        return replace(policy, trust=TrustAnchors(pinned, "the pinned authorities"))


def _compromised(pins: PinSet) -> set[Pin]:
    return {pin for policy in pins.policies for pin in policy.compromised}
