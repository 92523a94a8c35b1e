"""A path check like those in custom pinning code, in which each single check can be left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from certpin.lab.fuzz.peers import PeerVerdict
from certpin.x509.certificate import without_deprecations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab.case import OwnChain

    Path = list[x509.Certificate]

NOW = datetime.now(UTC)


class RefusedError(Exception):
    """The path check refuses the chain."""


def _dates(path: Path, host: str) -> None:
    for certificate in path:
        _require(certificate.not_valid_before_utc <= NOW <= certificate.not_valid_after_utc)


def _basic_constraints(path: Path, host: str) -> None:
    for depth, certificate in enumerate(path[1:]):
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        _require(found.ca and (found.path_length is None or found.path_length >= depth))


def _key_usage(path: Path, host: str) -> None:
    for extension in path[0].extensions:
        if isinstance(extension.value, x509.KeyUsage):
            _require(extension.value.digital_signature)
    for certificate in path[1:]:
        found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        _require(found.key_cert_sign)


def _extended_key_usage(path: Path, host: str) -> None:
    for certificate in path[:-1]:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.ExtendedKeyUsage):
                _require(ExtendedKeyUsageOID.SERVER_AUTH in extension.value)


def _name_constraints(path: Path, host: str) -> None:
    names = path[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    for certificate in path[1:]:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.NameConstraints):
                permitted, excluded = extension.value.permitted_subtrees, extension.value
                trees = excluded.excluded_subtrees or []
                for name in hosts:
                    _require(permitted is None or any(_below(name, tree) for tree in permitted))
                    _require(not any(_below(name, tree) for tree in trees))


def _below(name: str, tree: x509.GeneralName) -> bool:
    if not isinstance(tree, x509.DNSName):
        return False
    return not tree.value or f".{name}".endswith("." + tree.value.removeprefix("."))


def _host(path: Path, host: str) -> None:
    names = path[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    parent = host.partition(".")[2]
    _require(not {host, f"*.{parent}"}.isdisjoint(names.get_values_for_type(x509.DNSName)))


def _critical(path: Path, host: str) -> None:
    for certificate in path[:-1]:
        for extension in certificate.extensions:
            _require(not (extension.critical and type(extension.value) not in _KNOWN))


_KNOWN = {
    *(x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage),
    *(x509.NameConstraints, x509.SubjectAlternativeName),
}
CHECKS: dict[str, Callable[[Path, str], None]] = {
    "dates": _dates,
    "basicConstraints": _basic_constraints,
    "keyUsage": _key_usage,
    "extKeyUsage": _extended_key_usage,
    "nameConstraints": _name_constraints,
    "host": _host,
    "critical": _critical,
}


def _require(condition: bool) -> None:  # reads as an assertion
    if not condition:
        raise RefusedError


class PathCheck:
    """A verifier that follows the served order to a trust anchor and verifies each signature.

    ``fault`` names the one check that it leaves out; by default it makes all checks.
    """

    name = "path check"
    version = ""

    def __init__(self, fault: str = "") -> None:
        self._checks = [check for name, check in CHECKS.items() if name != fault]

    def judge(self, own: OwnChain) -> PeerVerdict:
        """Return whether the chain is accepted, and if not, why."""
        try:
            with without_deprecations():
                path = list(_path(own))
                for check in self._checks:
                    check(path, own.host)
        except (RefusedError, InvalidSignature, *UNREADABLE) as exc:
            return PeerVerdict(accepts=False, why=repr(exc))
        return PeerVerdict(accepts=True)

    def close(self) -> None:
        """Do nothing: the verifier holds no resources."""


UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)


def _path(own: OwnChain) -> Iterator[x509.Certificate]:
    roots = [x509.load_der_x509_certificate(anchor) for anchor in own.anchors]
    chain = [x509.load_der_x509_certificate(each) for each in own.chain]
    for index, certificate in enumerate(chain):
        _require(certificate.version is x509.Version.v3)
        yield certificate
        root = next((root for root in roots if root.subject == certificate.issuer), None)
        if root:
            certificate.verify_directly_issued_by(root)
            yield root
            return
        _require(index + 1 < len(chain))
        certificate.verify_directly_issued_by(chain[index + 1])
    raise RefusedError
