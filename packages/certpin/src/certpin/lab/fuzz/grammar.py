"""The grammar of mutations: the fields of a certificate (RFC 5280), and the values of each.

A mutation is data: a certificate of the chain, a field, an operation and a value. ``apply`` changes
the fields of a certificate by a mutation. The values are those on which verifiers are known to
disagree, and those on which they must agree. An oddity is an encoding that breaks the rules of DER
(X.690 section 10). It may be valid BER.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from certpin.lab.fuzz.certificate import (
    EXTENSIONS,
    GENERALIZED,
    IA5,
    KEY_KINDS,
    PRINTABLE,
    TRUE,
    UTC_TIME,
    CertificatePlan,
    ExtensionPlan,
    algorithm_of,
    compressed_info,
    name_of_text,
    oid,
    public_info,
    sequence,
    text_of_name,
)
from certpin.x509.der import element

if TYPE_CHECKING:
    from collections.abc import Callable

    # The new DER of a field, from its old DER and the host under test.
    Value = Callable[[bytes, str], bytes]

CHAIN = -1  # the certificate of a mutation of the chain itself
EXTENSION_OPERATIONS = ("take", "remove", "repeat", "flag", "encode")


@dataclass(frozen=True)
class Mutation:
    """One changed field of a certificate, or one change of the chain.

    Attributes:
        certificate: the index of the certificate in the chain, 0 for the leaf; ``CHAIN`` for a
            change of the chain.
        field: what is changed: a field of ``CertificatePlan``; the name of an extension; ``name``
            for the subject, together with the issuer field of the certificate below, which must be
            equal; or, for a chain, a change such as ``swap``.
        operation: ``set`` to a value of the grammar, ``take`` the field of another certificate of
            the corpus, ``remove`` or ``repeat`` an extension, change its critical ``flag``, or
            ``encode`` the field against the rules of DER.
        value: the name of the value, of the odd encoding, or of the other certificate (``two/1``).
    """

    certificate: int
    field: str
    operation: str
    value: str = ""

    def __str__(self) -> str:
        place = "chain" if self.certificate == CHAIN else f"certificate {self.certificate}"
        return " ".join(filter(None, (f"{place}:", self.field, self.operation, self.value)))


def _fixed(value: bytes) -> Value:
    return lambda _, __: value


def _sequence_of(*parts: bytes) -> Value:
    return _fixed(sequence(*parts))


def _time(tag: bytes, text: str) -> Value:
    return _fixed(element(tag, text.encode()))


def _text(tag: bytes = b"\x0c", change: Callable[[bytes], bytes] = bytes) -> Value:
    return lambda old, _: name_of_text(change(text_of_name(old)), tag)


def _named(text: str) -> Value:
    return lambda _, host: name_of_text(text.replace("HOST", host).encode())


def _oids(*dotted: str) -> Value:
    return _sequence_of(*map(oid, dotted))


def dns(name: str, tag: bytes = b"\x82") -> bytes:
    """Return the DER of a GeneralName with the text ``name``.

    ``tag`` is the DER tag for the type of the name; by default that of a DNS name.
    """
    return element(tag, name.encode())


def _names(*names: str) -> Value:
    """Return a function that encodes a list of DNS names as DER, given the host under test.

    In ``names``, HOST is replaced by the host, and PARENT by the domain above it.
    """

    def value(_: bytes, host: str) -> bytes:
        parent = host.partition(".")[2]
        texts = [name.replace("HOST", host).replace("PARENT", parent) for name in names]
        return sequence(*map(dns, texts))

    return value


def _upper_host(_: bytes, host: str) -> bytes:
    return sequence(dns(host.upper()))


def _host_as(tag: bytes, prefix: str = "") -> Value:
    return lambda _, host: sequence(dns(prefix + host, tag))


def _subtrees(tag: bytes, base: str, *, kind: bytes = b"\x82", rest: bytes = b"") -> Value:
    """Return a function that encodes name constraints with one subtree as DER, given a host.

    Args:
        tag: the DER tag ``a0`` for a permitted subtree, or ``a1`` for an excluded one.
        base: the name in the subtree. HOST is replaced by the host, and PARENT by the domain above
            it.
        kind: the DER tag of the name's type; by default a DNS name.
        rest: DER elements after the name, such as a minimum.
    """

    def value(_: bytes, host: str) -> bytes:
        text = base.replace("HOST", host).replace("PARENT", host.partition(".")[2])
        return sequence(element(tag, sequence(dns(text, kind), rest)))

    return value


_PERMITTED, _EXCLUDED = b"\xa0", b"\xa1"
_P = "1.3.6.1.5.5.7.3."  # extended key usages (RFC 5280 section 4.2.1.12)
_ANY_POLICY, _OTHER_POLICY = "2.5.29.32.0", "2.999.2"
_POLICY = sequence(oid(_OTHER_POLICY))

_DATES: dict[str, Value] = {
    "past": _time(UTC_TIME, "210101000000Z"),
    "future": _time(UTC_TIME, "480101000000Z"),
    "generalized-past": _time(GENERALIZED, "20210101000000Z"),
    "generalized-before-2050": _time(GENERALIZED, "20490101000000Z"),
    "generalized-fraction": _time(GENERALIZED, "20490101000000.5Z"),
    "last": _time(GENERALIZED, "99991231235959Z"),
    "no-seconds": _time(UTC_TIME, "4901010000Z"),
    "offset": _time(UTC_TIME, "490101000000+0100"),
    "no-zone": _time(UTC_TIME, "490101000000"),
    "impossible": _time(UTC_TIME, "491331000000Z"),
    "utc-1950": _time(UTC_TIME, "500101000000Z"),
}
_NAMES: dict[str, Value] = {
    "empty": _sequence_of(),
    "other": _named("Another authority, do not trust (certpin lab)"),
    "printable": _text(PRINTABLE),
    "ia5": _text(IA5),
    "teletex": _text(b"\x14"),
    # The text may be the result of "not-utf8".
    "bmp": _text(b"\x1e", lambda text: text.decode(errors="replace").encode("utf-16-be")),
    "upper-case": _text(change=bytes.upper),
    "two-spaces": _text(change=lambda text: text.replace(b" ", b"  ")),
    "nul": _text(change=lambda text: text + b"\0"),
    "not-utf8": _text(change=lambda text: text + b"\xff"),
    "host": _named("HOST"),
}
FIELDS: dict[str, dict[str, Value]] = {
    "version": {
        "1": _fixed(b""),
        "explicit-1": _fixed(bytes.fromhex("a003020100")),
        "2": _fixed(bytes.fromhex("a003020101")),
        "4": _fixed(bytes.fromhex("a003020103")),
        "negative": _fixed(bytes.fromhex("a0030201ff")),
    },
    "serial": {
        "zero": _fixed(b"\x02\x01\x00"),
        "negative": _fixed(b"\x02\x01\x85"),
        "21-octets": _fixed(element(b"\x02", b"\x01" * 21)),
        "64-octets": _fixed(element(b"\x02", b"\x01" * 64)),
        "padded": _fixed(b"\x02\x03\x00\x00\x07"),
        "empty": _fixed(b"\x02\x00"),
    },
    "algorithm": {
        "sha384": _oids("1.2.840.10045.4.3.3"),
        "null-parameters": lambda _, __: sequence(oid("1.2.840.10045.4.3.2"), b"\x05\x00"),
        "ed25519": _fixed(algorithm_of("ed25519")),
        "unknown": _oids("2.999.3"),
    },
    "outer_algorithm": {
        "sha384": _oids("1.2.840.10045.4.3.3"),
        "null-parameters": lambda _, __: sequence(oid("1.2.840.10045.4.3.2"), b"\x05\x00"),
        "unknown": _oids("2.999.3"),
    },
    "issuer": _NAMES,
    "subject": _NAMES,
    "name": _NAMES,
    "not_before": _DATES,
    "not_after": _DATES,
    "unique_ids": {
        "issuer": _fixed(b"\x81\x02\x00\x01"),
        "subject": _fixed(b"\x82\x02\x00\x01"),
        "both-reversed": _fixed(b"\x82\x02\x00\x01\x81\x02\x00\x01"),
    },
    # Not functions of bytes: ``apply`` sets the plan's key, or how it is signed.
    "key": dict.fromkeys((*KEY_KINDS[1:], "compressed"), _fixed(b"")),
    "signature": dict.fromkeys(("broken", "empty", "another-key"), _fixed(b"")),
}
EXTENSION_VALUES: dict[str, dict[str, Value]] = {
    "basicConstraints": {
        "ca": _sequence_of(TRUE),
        "no-ca": _sequence_of(),
        "explicit-no-ca": _sequence_of(b"\x01\x01\x00"),
        "ca-true-as-1": _sequence_of(b"\x01\x01\x01"),
        "path-length-0": _sequence_of(TRUE, b"\x02\x01\x00"),
        "path-length-negative": _sequence_of(TRUE, b"\x02\x01\xff"),
        "path-length-without-ca": _sequence_of(b"\x02\x01\x00"),
    },
    "keyUsage": {
        "digital-signature": _fixed(b"\x03\x02\x07\x80"),
        "cert-sign": _fixed(b"\x03\x02\x02\x04"),
        "crl-sign": _fixed(b"\x03\x02\x01\x02"),
        "all": _fixed(b"\x03\x03\x07\xff\x80"),
        "none": _fixed(b"\x03\x01\x00"),
        "zero-bits": _fixed(b"\x03\x02\x07\x00"),
        "trailing-zeros": _fixed(b"\x03\x03\x00\x86\x00"),
        "unused-bits-set": _fixed(b"\x03\x02\x05\x86"),
    },
    "extKeyUsage": {
        "server": _oids(f"{_P}1"),
        "client": _oids(f"{_P}2"),
        "code-signing": _oids(f"{_P}3"),
        "email": _oids(f"{_P}4"),
        "ocsp-signing": _oids(f"{_P}9"),
        "any": _oids("2.5.29.37.0"),
        "netscape": _oids("2.16.840.1.113730.4.1"),
        "unknown": _oids("2.999.4"),
        "empty": _sequence_of(),
    },
    "subjectAltName": {
        "other-host": _names("www.other.example"),
        "other-and-host": _names("www.other.example", "HOST"),
        "wildcard": _names("*.PARENT"),
        "wildcard-partial": _names("a*.PARENT"),
        "wildcard-all": _names("*"),
        "wildcard-inside": _names("*.*.example"),
        "wildcard-of-host": _names("*.HOST"),
        "parent": _names("PARENT"),
        "leading-dot": _names(".PARENT"),
        "trailing-dot": _names("HOST."),
        "upper-case": _upper_host,
        "nul": _names("HOST\0.other.example"),
        "space": _names("HOST "),
        "underscore": _names("HOST", "a_b.PARENT"),
        "not-ascii": _names("HOST", "ä.PARENT"),
        "empty-name": _names("HOST", ""),
        "email": _host_as(b"\x81", "a@"),
        "uri": _host_as(b"\x86", "https://"),
        "host-as-address": _host_as(b"\x87"),
        "address-of-5-octets": lambda _, host: sequence(dns(host), b"\x87\x05\x7f\0\0\1\0"),
        "unknown-kind": lambda _, host: sequence(dns(host), b"\x8b\x01\x00"),
        "many": lambda _, host: sequence(
            *(dns(f"host{number}.other.example") for number in range(200)), dns(host)
        ),
        "empty": _sequence_of(),
    },
    "nameConstraints": {
        "permitted-parent": _subtrees(_PERMITTED, "PARENT"),
        "permitted-host": _subtrees(_PERMITTED, "HOST"),
        "permitted-leading-dot": _subtrees(_PERMITTED, ".PARENT"),
        "permitted-other": _subtrees(_PERMITTED, "other.example"),
        "permitted-below-host": _subtrees(_PERMITTED, "a.HOST"),
        "permitted-address": _subtrees(_PERMITTED, "\x0a\0\0\0\x7f\0\0\0", kind=b"\x87"),
        "permitted-odd-address": _subtrees(_PERMITTED, "\x0a\0\0\0\x7f\0\x7f", kind=b"\x87"),
        "permitted-with-minimum": _subtrees(_PERMITTED, "PARENT", rest=b"\x80\x01\x01"),
        "permitted-with-maximum": _subtrees(_PERMITTED, "PARENT", rest=b"\x81\x01\x05"),
        "permitted-empty": _subtrees(_PERMITTED, ""),
        "permitted-unknown-kind": _subtrees(_PERMITTED, "a", kind=b"\x88"),
        "permitted-nul": _subtrees(_PERMITTED, "PARENT\0"),
        "excluded-host": _subtrees(_EXCLUDED, "HOST"),
        "excluded-parent": _subtrees(_EXCLUDED, "PARENT"),
        "excluded-leading-dot": _subtrees(_EXCLUDED, ".PARENT"),
        "excluded-other": _subtrees(_EXCLUDED, "other.example"),
        "excluded-all": _subtrees(_EXCLUDED, ""),
        "excluded-email": _subtrees(_EXCLUDED, "PARENT", kind=b"\x81"),
        "empty": _sequence_of(),
    },
    "subjectKeyIdentifier": {
        "other": _fixed(element(b"\x04", b"\x01" * 20)),
        "empty": _fixed(b"\x04\x00"),
        "long": _fixed(element(b"\x04", b"\x01" * 200)),
    },
    "authorityKeyIdentifier": {
        "other": _sequence_of(element(b"\x80", b"\x01" * 20)),
        "empty": _sequence_of(),
        "serial-only": _sequence_of(b"\x82\x01\x01"),
    },
    "certificatePolicies": {
        "any": _sequence_of(sequence(oid(_ANY_POLICY))),
        "other": _sequence_of(_POLICY),
        "twice": _sequence_of(_POLICY, _POLICY),
        "empty": _sequence_of(),
    },
    "policyConstraints": {
        "explicit-policy-0": _sequence_of(b"\x80\x01\x00"),
        "no-mapping-0": _sequence_of(b"\x81\x01\x00"),
        "explicit-policy-negative": _sequence_of(b"\x80\x01\xff"),
        "empty": _sequence_of(),
    },
    "policyMappings": {
        "other": _sequence_of(sequence(oid(_OTHER_POLICY), oid("2.999.5"))),
        "any": _sequence_of(sequence(oid(_ANY_POLICY), oid(_OTHER_POLICY))),
        "empty": _sequence_of(),
    },
    "inhibitAnyPolicy": {"0": _fixed(b"\x02\x01\x00"), "negative": _fixed(b"\x02\x01\xff")},
    "cRLDistributionPoints": {
        "url": _sequence_of(
            sequence(element(b"\xa0", element(b"\xa0", dns("http://crl.example/", b"\x86"))))
        ),
        "empty": _sequence_of(),
        "no-sequence": _fixed(b"\x05\x00"),
    },
    "authorityInfoAccess": {
        "url": _sequence_of(
            sequence(oid("1.3.6.1.5.5.7.48.2"), dns("http://ca.example/", b"\x86"))
        ),
        "empty": _sequence_of(),
        "no-sequence": _fixed(b"\x05\x00"),
    },
    "tlsFeature": {"must-staple": _sequence_of(b"\x02\x01\x05"), "empty": _sequence_of()},
    "ctPoison": {"null": _fixed(b"\x05\x00")},
    "unknown": {"null": _fixed(b"\x05\x00"), "empty": _fixed(b""), "not-der": _fixed(b"\xff\xff")},
}
# RFC 5280 section 4.2: a new extension of these kinds is critical.
_CRITICAL = {
    *("basicConstraints", "keyUsage", "nameConstraints", "policyConstraints"),
    *("inhibitAnyPolicy", "policyMappings", "ctPoison"),
}
FLAGS = {"critical": TRUE, "not-critical": b"", "explicit-false": b"\x01\x01\x00"} | {
    "true-as-1": b"\x01\x01\x01"
}


def _content(value: bytes) -> tuple[bytes, bytes]:
    """Split the DER element ``value`` into its tag and its content, to encode it differently.

    The element may be truncated, and its length is not checked. For fewer than two bytes, the
    content is empty; for no bytes, the tag is that of NULL.
    """
    if len(value) < 2:
        return value[:1] or b"\x05", b""
    octets = value[1] & 0x7F if value[1] & 0x80 else 0
    return value[:1], value[2 + octets :]


def _long_length(value: bytes) -> bytes:
    tag, content = _content(value)
    return tag + b"\x84" + len(content).to_bytes(4) + content


def _indefinite(value: bytes) -> bytes:
    tag, content = _content(value)
    return bytes([tag[0] | 0x20]) + b"\x80" + content + b"\0\0"


def _other_tag(value: bytes) -> bytes:
    return bytes([value[0] ^ 0x01]) + value[1:] if value else value


def _longer(value: bytes) -> bytes:
    tag, content = _content(value)
    return element(tag, content + b"\0")


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "long-length": _long_length,
    "indefinite-length": _indefinite,
    "other-tag": _other_tag,
    "byte-inside": _longer,
    "byte-after": lambda value: value + b"\0",
    "cut": lambda value: value[:-1],
    "no-content": lambda value: value[:1] + b"\0",
}
# The elements of a certificate that an odd encoding fits.
ENCODED = ("version", "serial", "issuer", "subject", "not_before", "not_after", "spki")


def apply(plan: CertificatePlan, change: Mutation, host: str, seed: int) -> CertificatePlan:
    """Return the fields of a certificate with one of them changed by a mutation.

    The operation ``take`` and the field ``name`` are not supported here: the module ``chains``
    applies them.

    Args:
        plan: the fields of the certificate.
        change: the mutation.
        host: the host for which the chain is made.
        seed: the seed from which keys are derived.

    Raises:
        ValueError: the grammar has no such mutation.
    """
    if change.field in EXTENSIONS:
        return _apply_to_extension(plan, change, host)
    if change.operation == "encode" and change.field in ENCODED:
        old = getattr(plan, change.field) or public_info(seed, plan.key)
        return with_field(plan, change.field, ODDITIES[change.value](old))
    if change.operation != "set" or change.value not in FIELDS.get(change.field, {}):
        raise ValueError(f"no mutation of the grammar: {change}")
    if change.field == "signature":
        return replace(plan, signature=change.value)
    if change.field == "key":
        if change.value == "compressed":
            return replace(plan, spki=compressed_info(seed, plan.key))
        return replace(plan, key=replace(plan.key, kind=change.value))
    value = FIELDS[change.field][change.value](getattr(plan, change.field), host)
    return with_field(plan, change.field, value)


def with_field(plan: CertificatePlan, field: str, value: bytes) -> CertificatePlan:
    """Return a certificate's fields with the one named ``field`` replaced by the DER ``value``.

    ``plan`` has the fields of the certificate.
    """
    fields: dict[str, Any] = {field: value}
    return replace(plan, **fields)


def _apply_to_extension(plan: CertificatePlan, change: Mutation, host: str) -> CertificatePlan:
    name = change.field
    old = next((each for each in plan.extensions if each.name == name), None)
    critical = TRUE if name in _CRITICAL else b""
    if change.operation == "set":
        value = EXTENSION_VALUES[name][change.value](old.value if old else b"", host)
        new = replace(old, value=value) if old else ExtensionPlan(name, value, critical)
        return with_extension(plan, new)
    if old is None:
        return plan
    if change.operation == "remove":
        return without_extension(plan, name)
    if change.operation == "repeat":
        return replace(plan, extensions=(*plan.extensions, old))
    if change.operation == "flag":
        return with_extension(plan, replace(old, critical=FLAGS[change.value]))
    return with_extension(plan, replace(old, value=ODDITIES[change.value](old.value)))


def with_extension(plan: CertificatePlan, new: ExtensionPlan) -> CertificatePlan:
    """Return a certificate's fields with the extension ``new``.

    ``plan`` has the fields of the certificate. The new extension replaces the extensions of the
    same name. If the certificate has none, ``new`` becomes its last extension.
    """
    if all(each.name != new.name for each in plan.extensions):
        return replace(plan, extensions=(*plan.extensions, new))
    kept = tuple(new if each.name == new.name else each for each in plan.extensions)
    return replace(plan, extensions=kept)


def without_extension(plan: CertificatePlan, name: str) -> CertificatePlan:
    """Return a certificate's fields (``plan``) without the extensions named ``name``."""
    kept = tuple(each for each in plan.extensions if each.name != name)
    return replace(plan, extensions=kept)
