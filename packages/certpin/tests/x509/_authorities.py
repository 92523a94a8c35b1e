"""Chains with one flaw each, and their good counterparts: what OpenSSL decides about them.

``CHAINS`` has functions that each issue a server certificate, and return its root, too.
``refusal_of_openssl`` makes a real handshake with it in memory.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID

from certpin.lab import Authority
from certpin.lab.authority import new_key, new_rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Identity

    Change = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]

HOST = "api.bank.example"
ROOT = Authority("Root")
DAY = timedelta(days=1)


def changed(*values: x509.ExtensionType, critical: bool = True) -> Change:
    """Return a change that replaces or adds these extensions."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder = without(*map(type, values))(builder)
        for value in values:
            builder = builder.add_extension(value, critical=critical)
        return builder

    return change


def without(*kinds: Any) -> Change:
    """Return a change that takes out these extensions."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if type(each.value) not in kinds]
        builder._extensions = kept
        return builder

    return change


def valid(begin: float, end: float) -> Change:
    """Return a change that sets the dates: days before and after now."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._not_valid_before = None
        builder._not_valid_after = None
        now = ROOT.now.replace(tzinfo=None)
        return builder.not_valid_before(now + begin * DAY).not_valid_after(now + end * DAY)

    return change


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> Change:
    """Return a change that sets the subject."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        builder._subject_name = name
        return builder

    return change


def all_of(*changes: Change) -> Change:
    """Return a change that makes several changes, in this order."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        for each in changes:
            builder = each(builder)
        return builder

    return change


def usage(*names: str) -> x509.KeyUsage:
    """Return a keyUsage with only these bits."""
    every = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{each: each in names for each in every})


def constraints(*permitted: x509.GeneralName, excluded: Any = ()) -> Change:
    """Return a change that adds nameConstraints."""
    return changed(x509.NameConstraints(list(permitted) or None, list(excluded) or None))


def basic(ca: bool, length: int | None = None) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca, length)


def san(*names: x509.GeneralName) -> Change:
    return changed(x509.SubjectAlternativeName(list(names)), critical=False)


def unknown(*, critical: bool) -> Change:
    oid = x509.ObjectIdentifier("1.2.3.4")
    return changed(x509.UnrecognizedExtension(oid, b"\x05\x00"), critical=critical)


def _dns(name: str) -> x509.DNSName:
    return x509.DNSName(name)


def _ip(net: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(net))


def _directory(*values: str) -> x509.DirectoryName:
    oids = (NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME)
    return x509.DirectoryName(
        x509.Name(
            [x509.NameAttribute(oid, value) for oid, value in zip(oids, values, strict=False)]
        )
    )


_SUBJECT = named((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "The  BANK"))
_NETSCAPE = x509.ObjectIdentifier("2.16.840.1.113730.1.1")


def _netscape(bits: int) -> Change:
    value = x509.UnrecognizedExtension(_NETSCAPE, bytes([3, 2, 0, bits]))
    return changed(value, critical=False)


def leaf(change: Change) -> Callable[[], tuple[Identity, Authority]]:
    return lambda: (ROOT.intermediate("Issuer").issue(HOST, change=change), ROOT)


def issuer(change: Change, of_leaf: Change = lambda each: each) -> Any:
    return lambda: (ROOT.intermediate("Issuer", change=change).issue(HOST, change=of_leaf), ROOT)


def root(change: Change, of_leaf: Change = lambda each: each) -> Any:
    def make() -> tuple[Identity, Authority]:
        top = Authority("Root", change=change)
        return top.intermediate("Issuer").issue(HOST, change=of_leaf), top

    return make


def _deep(length: int, name: str = "Below") -> tuple[Identity, Authority]:
    top = ROOT.intermediate("Above", change=changed(basic(True, length)))
    return top.intermediate(name).issue(HOST), ROOT


def _weak(top: int = 2048, middle: int = 2048, below: int = 2048) -> tuple[Identity, Authority]:
    first = Authority("Root", key=new_rsa_key(top))
    second = Authority("Issuer", issuer=first, key=new_rsa_key(middle))
    return second.issue(HOST, key=new_rsa_key(below)), first


def _of_keys(leaf_key: Any, issuer_key: Any = None) -> Any:
    def make() -> tuple[Identity, Authority]:
        middle = Authority("Issuer", issuer=ROOT, key=issuer_key and issuer_key())
        return middle.issue(HOST, key=leaf_key()), ROOT

    return make


def _on(curve: ec.EllipticCurve) -> Callable[[], ec.EllipticCurvePrivateKey]:
    return lambda: ec.generate_private_key(curve)


def _without_names_of_keys() -> tuple[Identity, Authority]:
    ids = without(x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
    top = Authority("Root", change=ids)
    return top.intermediate("Issuer", change=ids).issue(HOST, change=ids), top


def _self_signed(change: Change) -> tuple[Identity, Authority]:
    own = Authority(HOST, change=all_of(san(_dns(HOST)), change))
    return replace(own.issue(HOST), key=own.key, chain=(own.x509,)), own


def naming(issuer: Authority) -> Change:
    """Return a change to the authorityKeyIdentifier that OpenSSL's `keyid,issuer:always` makes."""
    key = x509.SubjectKeyIdentifier.from_public_key(issuer.key.public_key())
    above = x509.DirectoryName(issuer.x509.issuer)
    serial = issuer.x509.serial_number
    return changed(x509.AuthorityKeyIdentifier(key.digest, [above], serial), critical=False)


def _other_identifier() -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(b"another key", None, None)


def _identifier_of(serial: int, name: str) -> x509.AuthorityKeyIdentifier:
    names = [x509.DirectoryName(Authority(name, key=ROOT.key).subject)]
    return x509.AuthorityKeyIdentifier(None, names, serial)


def _rollover(change: Change = lambda each: each) -> tuple[Identity, Authority]:
    """The authority's new key is certified by its old key, under the same name (RFC 4210, 4.4)."""
    new = Authority("Root", issuer=ROOT, change=change)
    return new.intermediate("Issuer").issue(HOST), ROOT


CHAINS: dict[str, Callable[[], tuple[Identity, Authority]]] = {
    "good": leaf(lambda each: each),
    # dates
    "leaf expired": leaf(valid(-9, -1)),
    "leaf early": leaf(valid(1, 9)),
    "issuer expired": issuer(valid(-9, -1)),
    "issuer early": issuer(valid(1, 9)),
    "root expired": root(valid(-9, -1)),
    # the leaf
    "leaf client only": leaf(changed(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH]))),
    "leaf any purpose": leaf(changed(x509.ExtendedKeyUsage([Purpose.ANY_EXTENDED_KEY_USAGE]))),
    "leaf both": leaf(changed(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH, Purpose.SERVER_AUTH]))),
    "leaf no purpose": leaf(without(x509.ExtendedKeyUsage)),
    "leaf no usage": leaf(without(x509.KeyUsage)),
    "leaf signs certificates only": leaf(changed(usage("crl_sign"))),
    "leaf encipherment only": leaf(changed(usage("key_encipherment"))),
    "leaf agreement only": leaf(changed(usage("key_agreement"))),
    "leaf no basic": leaf(without(x509.BasicConstraints)),
    "leaf authority": leaf(changed(basic(True), usage("digital_signature", "key_cert_sign"))),
    "leaf unknown critical": leaf(unknown(critical=True)),
    "leaf unknown": leaf(unknown(critical=False)),
    "leaf netscape client": leaf(_netscape(0x80)),
    "leaf netscape server": leaf(_netscape(0x40)),
    "leaf critical identifiers": leaf(changed(x509.SubjectKeyIdentifier(b"key"), critical=True)),
    "leaf of another issuer": leaf(changed(_other_identifier(), critical=False)),
    "leaf without subject": leaf(named()),
    "leaf without subject, critical names": leaf(
        all_of(named(), changed(x509.SubjectAlternativeName([_dns(HOST)])))
    ),
    # authorities
    "issuer no authority": issuer(changed(basic(False), usage("digital_signature"))),
    "issuer no authority signs": issuer(changed(basic(False))),
    "issuer cannot sign": issuer(changed(usage("digital_signature"))),
    "issuer no usage": issuer(without(x509.KeyUsage)),
    "issuer no basic": issuer(without(x509.BasicConstraints)),
    "issuer no basic, no usage": issuer(without(x509.BasicConstraints, x509.KeyUsage)),
    "issuer basic not critical": issuer(changed(basic(True), critical=False)),
    "issuer client only": issuer(changed(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH]))),
    "issuer for servers": issuer(changed(x509.ExtendedKeyUsage([Purpose.SERVER_AUTH]))),
    "issuer any purpose": issuer(changed(x509.ExtendedKeyUsage([Purpose.ANY_EXTENDED_KEY_USAGE]))),
    "issuer unknown critical": issuer(unknown(critical=True)),
    "issuer unknown": issuer(unknown(critical=False)),
    "issuer policies": issuer(
        changed(
            x509.PolicyConstraints(0, None),
            x509.InhibitAnyPolicy(0),
            x509.CertificatePolicies(
                [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]
            ),
        )
    ),
    "root client only": root(changed(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH]))),
    "root cannot sign": root(changed(usage("digital_signature"))),
    "root no basic": root(without(x509.BasicConstraints)),
    "root no basic, no usage": root(without(x509.BasicConstraints, x509.KeyUsage)),
    "root no usage": root(without(x509.KeyUsage)),
    "root no authority": root(changed(basic(False))),
    "root unknown critical": root(unknown(critical=True)),
    "issuer of the root by serial": issuer(
        changed(_identifier_of(ROOT.x509.serial_number, "Root"), critical=False)
    ),
    "issuer of another serial": issuer(changed(_identifier_of(7, "Root"), critical=False)),
    "issuer of another name": issuer(
        changed(_identifier_of(ROOT.x509.serial_number, "Other"), critical=False)
    ),
    "no identifiers": _without_names_of_keys,
    # a new key of the root, signed with its old one
    "rollover": _rollover,
    "rollover expired": lambda: _rollover(valid(-9, -1)),
    "rollover no authority": lambda: _rollover(changed(basic(False))),
    "rollover of the issuer": lambda: (
        Authority("Issuer", issuer=ROOT.intermediate("Issuer")).issue(HOST),
        ROOT,
    ),
    # the length of the path
    "length 0, one below": lambda: _deep(0),
    "length 1, one below": lambda: _deep(1),
    "length 0, self-issued below": lambda: _deep(0, "Above"),
    "length 0 of the root": root(changed(basic(True, 0))),
    "length of the issuer": issuer(changed(basic(True, 0))),
    "length without usage": issuer(all_of(changed(basic(True, 0)), without(x509.KeyUsage))),
    "length of a leaf": leaf(changed(basic(True, 0), usage("digital_signature", "key_cert_sign"))),
    # names
    "permitted name": issuer(constraints(_dns("bank.example"))),
    "permitted name, dot": issuer(constraints(_dns(".bank.example"))),
    "permitted other name": issuer(constraints(_dns("hosp.example"))),
    "permitted part of a label": issuer(constraints(_dns("ank.example"))),
    "permitted in capitals": issuer(constraints(_dns("BANK.example"))),
    "permitted every name": issuer(constraints(_dns(""))),
    "permitted names below": issuer(constraints(_dns(".api.bank.example"))),
    "one of two not permitted": issuer(
        constraints(_dns("bank.example")), san(_dns(HOST), _dns("hosp.example"))
    ),
    "excluded name": issuer(constraints(excluded=[_dns("bank.example")])),
    "excluded other name": issuer(constraints(excluded=[_dns("hosp.example")])),
    "permitted and excluded": issuer(constraints(_dns("bank.example"), excluded=[_dns(HOST)])),
    "wildcard below excluded": issuer(
        constraints(excluded=[_dns("x.bank.example")]), san(_dns(HOST), _dns("*.bank.example"))
    ),
    "wildcard permitted": issuer(
        constraints(_dns("bank.example")), san(_dns(HOST), _dns("*.bank.example"))
    ),
    "permitted name of the root": root(constraints(_dns("hosp.example"))),
    "constraints not critical": issuer(
        changed(x509.NameConstraints([_dns("hosp.example")], None), critical=False)
    ),
    "permitted address": issuer(
        constraints(_ip("192.0.2.0/24")),
        san(_dns(HOST), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))),
    ),
    "permitted other address": issuer(
        constraints(_ip("192.0.2.0/24")),
        san(_dns(HOST), x509.IPAddress(ipaddress.ip_address("192.0.3.1"))),
    ),
    "permitted address of another version": issuer(
        constraints(_ip("192.0.2.0/24")),
        san(_dns(HOST), x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
    ),
    "addresses only": issuer(constraints(_ip("192.0.2.0/24"))),
    "excluded addresses": issuer(
        constraints(excluded=[_ip("0.0.0.0/0")]),
        san(_dns(HOST), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))),
    ),
    "permitted subject": issuer(constraints(_directory("DE", "the bank")), _SUBJECT),
    "permitted country": issuer(constraints(_directory("DE")), _SUBJECT),
    "permitted other subject": issuer(constraints(_directory("DE", "The Hospital")), _SUBJECT),
    "excluded subject": issuer(constraints(excluded=[_directory("DE")]), _SUBJECT),
    "permitted subject without subject": issuer(constraints(_directory("DE")), named()),
    "root permits no subject": root(constraints(_directory("DE"))),
    "constraint on mail, no mail": issuer(constraints(x509.RFC822Name("bank.example"))),
    "constraint on mail, other mail": issuer(
        constraints(x509.RFC822Name("bank.example")),
        san(_dns(HOST), x509.RFC822Name("a@b.example")),
    ),
    "constraint on mail, mail in subject": issuer(
        constraints(x509.RFC822Name("bank.example")), named((NameOID.EMAIL_ADDRESS, "a@b.example"))
    ),
    # strength
    "short root": lambda: _weak(top=1024),
    "short issuer": lambda: _weak(middle=1024),
    "short leaf": lambda: _weak(below=1024),
    "RSA": _weak,
    # keys for which clients offer no algorithm
    "leaf P-384": _of_keys(_on(ec.SECP384R1())),
    "leaf P-521": _of_keys(_on(ec.SECP521R1())),
    "leaf P-224": _of_keys(_on(ec.SECP224R1())),
    "leaf secp256k1": _of_keys(_on(ec.SECP256K1())),
    "leaf Ed25519": _of_keys(ed25519.Ed25519PrivateKey.generate),
    "leaf Ed448": _of_keys(ed448.Ed448PrivateKey.generate),
    "leaf DSA": _of_keys(lambda: dsa.generate_private_key(2048)),
    "issuer P-224": _of_keys(new_key, _on(ec.SECP224R1())),
    "issuer secp256k1": _of_keys(new_key, _on(ec.SECP256K1())),
    "issuer brainpool": _of_keys(new_key, _on(ec.BrainpoolP256R1())),
    "issuer Ed25519": _of_keys(new_key, ed25519.Ed25519PrivateKey.generate),
    # a server that is its own root
    "self-signed": lambda: _self_signed(lambda each: each),
    "self-signed, bare": lambda: _self_signed(
        without(
            x509.KeyUsage,
            x509.BasicConstraints,
            x509.SubjectKeyIdentifier,
            x509.AuthorityKeyIdentifier,
        )
    ),
    "self-signed, signs certificates only": lambda: _self_signed(changed(usage("key_cert_sign"))),
}


if ssl.OPENSSL_VERSION_INFO >= (3, 2):  # with RFC 8734
    CHAINS |= {
        f"leaf {curve.name}": _of_keys(_on(curve))
        for curve in (ec.BrainpoolP256R1(), ec.BrainpoolP384R1(), ec.BrainpoolP512R1())
    }


def _unchanged(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder


# Changes to combine: most of them are flaws.
_ANY_FLAWS: list[Change] = [
    _unchanged,
    _unchanged,
    valid(-9, -1),
    unknown(critical=True),
    without(x509.SubjectKeyIdentifier),
    without(x509.AuthorityKeyIdentifier),
    changed(x509.ExtendedKeyUsage([Purpose.CLIENT_AUTH])),
    changed(x509.ExtendedKeyUsage([Purpose.SERVER_AUTH])),
]
LEAF_FLAWS = [
    *_ANY_FLAWS,
    changed(usage("crl_sign")),
    changed(usage("digital_signature", "key_cert_sign")),
    changed(basic(ca=True)),
    without(x509.BasicConstraints),
    without(x509.KeyUsage),
    san(_dns(HOST), _dns("hosp.example")),
    _SUBJECT,
    named(),
]
ISSUER_FLAWS = [
    *_ANY_FLAWS,
    changed(basic(ca=False)),
    changed(basic(True, 0)),
    changed(usage("digital_signature")),
    without(x509.BasicConstraints),
    without(x509.KeyUsage),
    constraints(_dns("bank.example")),
    constraints(excluded=[_dns("hosp.example")]),
    constraints(_directory("DE")),
]
ROOT_FLAWS = [*ISSUER_FLAWS, changed(basic(True), critical=False)]


def refusal_of_openssl(
    identity: Identity, client: ssl.SSLContext, folder: Path, host: str = HOST
) -> str:
    """Make a handshake in memory. Return why the client refused the chain; empty if it did not.

    A client that offers no algorithm for the server's key refuses the chain, too.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    server.load_cert_chain(*identity.write(folder))
    c_in, c_out, s_in, s_out = (ssl.MemoryBIO() for _ in range(4))
    of_client = client.wrap_bio(c_in, c_out, server_hostname=host)
    of_server = server.wrap_bio(s_in, s_out, server_side=True)
    for _ in range(4):
        try:
            of_client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            return str(exc)
        else:
            return ""
        s_in.write(c_out.read())
        try:
            of_server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            if exc.reason != "NO_SHARED_CIPHER":
                raise
            return str(exc)
        c_in.write(s_out.read())
    raise AssertionError("the handshake did not end")
