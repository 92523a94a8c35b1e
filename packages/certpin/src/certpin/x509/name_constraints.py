"""Compare the names of a certificate with the nameConstraints of an authority above it.

This follows RFC 5280 section 4.2.1.10 as OpenSSL applies it (crypto/x509/v3_ncons.c), for DNS
names, IP addresses and directory names. certpin doesn't compare names of other types: if the
constraints restrict such a type, every certificate with a name of the type is refused. The common
name is not compared, because clients don't take it for a host name (RFC 9525 section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509


def constraint_problem(certificate: x509.Certificate, constraints: x509.NameConstraints) -> str:
    """Return how a certificate violates nameConstraints; an empty text if it doesn't.

    The text is the end of a sentence about the certificate, such as "has the name …, excluded by
    the nameConstraints".

    Args:
        certificate: the certificate with the names.
        constraints: the nameConstraints of an authority above it.

    Raises:
        ValueError: an extension of the certificate can't be read.
    """
    for name in _names(certificate):
        permitted = _same_type(name, constraints.permitted_subtrees)
        excluded = _same_type(name, constraints.excluded_subtrees)
        if (permitted or excluded) and not _is_compared(name):
            return f"has a name of the type {type(name).__name__}, restricted by nameConstraints"
        if permitted and not any(_matches(name, base) for base in permitted):
            return f"has the name {_text(name)}, not permitted by the nameConstraints"
        if any(_matches(name, base) for base in excluded):
            return f"has the name {_text(name)}, excluded by the nameConstraints"
    return ""


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    """Yield the names of a certificate that nameConstraints apply to (RFC 5280 section 4.2.1.10).

    These are its subject, the e-mail addresses in the subject, and the names in subjectAltName.
    """
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    if list(certificate.subject):
        yield x509.DirectoryName(certificate.subject)
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name(str(attribute.value))
    try:
        yield from certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return


def _same_type(
    name: x509.GeneralName, subtrees: Iterable[x509.GeneralName] | None
) -> list[x509.GeneralName]:
    return [base for base in subtrees or () if type(base) is type(name)]


def _is_compared(name: x509.GeneralName) -> bool:
    from cryptography import x509

    return isinstance(name, x509.DNSName | x509.IPAddress | x509.DirectoryName)


def _matches(name: x509.GeneralName, base: x509.GeneralName) -> bool:
    """Return True if a name is in the subtree of ``base``, a subtree of the nameConstraints.

    Both have the same type, such as DNS name or IP address. For example, ``bank.example`` and
    ``api.bank.example`` are in the subtree of ``bank.example``; and an IP address is in that of the
    network that contains it.
    """
    from cryptography import x509

    if isinstance(name, x509.DNSName):
        return _dns_matches(name.value.lower(), str(base.value).lower())
    if isinstance(name, x509.DirectoryName):
        parts, of_base = _canonical(name.value), _canonical(base.value)
        return parts[: len(of_base)] == of_base
    address: Any = name.value
    return address in base.value


def _dns_matches(name: str, base: str) -> bool:
    if not base or name == base:
        return True
    return name.endswith(base if base.startswith(".") else f".{base}")


def _canonical(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    """Return the parts of a directory name, for a comparison that ignores case and repeated spaces.

    Each part is a relative distinguished name: a set of pairs of an attribute's OID and its value.
    """
    return [
        frozenset(
            (attribute.oid.dotted_string, " ".join(str(attribute.value).split()).lower())
            for attribute in part
        )
        for part in name.rdns
    ]


def _text(name: x509.GeneralName) -> str:
    from cryptography import x509

    from certpin.support.text import printable
    from certpin.x509.certificate import quoted

    value = name.value
    return quoted(printable(value.rfc4514_string() if isinstance(value, x509.Name) else str(value)))
