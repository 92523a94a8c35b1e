"""CSRs in which different programs can find different names: certpin refuses them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.errors import CertificateParseError
from certpin.lab.authority import new_key
from certpin.x509 import der
from certpin.x509.request import read_request
from tests.lab.gallery._gallery import go_program

HOST, OTHER = "api.bank.example", "harmless.example"
PKCS9, CHALLENGE = "1.2.840.113549.1.9.14", "1.2.840.113549.1.9.7"
MICROSOFT, PAIR = "1.3.6.1.4.1.311.2.1.14", "1.3.6.1.4.1.311.13.2.1"
SAN, KEY_USAGE = "2.5.29.17", "2.5.29.15"
KEY = new_key()


def sequence(*parts: bytes) -> bytes:
    return der.element(b"\x30", b"".join(parts))


def oid(dotted: str) -> bytes:
    """Return the DER encoding of an object identifier."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return der.element(b"\x06", bytes(content))


def extension(kind: str, value: bytes) -> bytes:
    return sequence(oid(kind), der.element(b"\x04", value))


def names(*found: str, tag: bytes = b"\x82") -> bytes:
    """Return a subjectAltName; ``tag`` is that of a DNS name."""
    return extension(SAN, sequence(*(der.element(tag, name.encode()) for name in found)))


def attribute(kind: str, *values: bytes) -> bytes:
    return sequence(oid(kind), der.element(b"\x31", b"".join(sorted(values))))


def request(*attributes: bytes) -> bytes:
    """Return a signed CSR in PEM with exactly these attributes."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    spki = KEY.public_key().public_bytes(*form)
    listed = der.element(b"\xa0", b"".join(sorted(attributes)))
    info = sequence(b"\x02\x01\x00", sequence(), spki, listed)
    signature = der.bit_string(KEY.sign(info, ec.ECDSA(hashes.SHA256())))
    text = base64.encodebytes(sequence(info, sequence(oid("1.2.840.10045.4.3.2")), signature))
    begin, end = (f"-----{word} CERTIFICATE REQUEST-----\n".encode() for word in ("BEGIN", "END"))
    return begin + text + end


PASSWORD = attribute(CHALLENGE, der.element(b"\x0c", b"secret"))
PASSWORDS = attribute(CHALLENGE, der.element(b"\x0c", b"secret"), der.element(b"\x0c", b"other!"))
USAGE = extension(KEY_USAGE, bytes.fromhex("03020780"))
EXTENSIONS, HARMLESS = sequence(names(HOST)), sequence(names(OTHER))
TEXTS = sequence(der.element(b"\x1e", b"\0S"), der.element(b"\x1e", b"\0x"))
READ = {
    "plain": request(attribute(PKCS9, sequence(USAGE, names(HOST)))),
    "with a password": request(PASSWORD, attribute(PKCS9, EXTENSIONS)),
    "upper case and a dot": request(attribute(PKCS9, sequence(names(f"{HOST.upper()}.")))),
}
AMBIGUOUS = {
    "two requests": request(attribute(PKCS9, sequence(USAGE)), attribute(PKCS9, EXTENSIONS)),
    "Microsoft's, too": request(attribute(MICROSOFT, HARMLESS), attribute(PKCS9, EXTENSIONS)),
    "Microsoft's only": request(attribute(MICROSOFT, EXTENSIONS)),
    "Microsoft's pair": request(attribute(PKCS9, HARMLESS), attribute(PAIR, TEXTS)),
}
BROKEN = {
    "two values": request(attribute(PKCS9, EXTENSIONS, HARMLESS)),
    "no value": request(attribute(PKCS9)),
    "one without a value": request(attribute(PKCS9), attribute(PKCS9, EXTENSIONS)),
    "two passwords": request(PASSWORDS, attribute(PKCS9, EXTENSIONS)),
    "two lists of names": request(attribute(PKCS9, sequence(names(OTHER), names(HOST)))),
    "a part more": request(
        sequence(oid(PKCS9), der.element(b"\x31", EXTENSIONS), der.element(b"\x05", b""))
    ),
    "no set": request(sequence(oid(PKCS9), sequence(EXTENSIONS))),
    "no characters": request(attribute(PKCS9, sequence(names("x").replace(b"x", b"\xff")))),
    "an X.400 address": request(attribute(PKCS9, sequence(names("", tag=b"\xa3")))),
}


@pytest.mark.parametrize("pem", READ.values(), ids=READ)
def test_the_names_of_one_attribute_are_read(pem: bytes) -> None:
    (name,) = read_request(pem).names
    assert name.lower().rstrip(".") == HOST


@pytest.mark.parametrize("pem", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_names_in_more_than_one_place_are_refused(pem: bytes) -> None:
    """Go's parser takes the extensions of every attribute, and cryptography those of the first."""
    with pytest.raises(CertificateParseError, match="more than one place") as caught:
        read_request(pem)
    assert "one extensionRequest" in caught.value.fix


@pytest.mark.parametrize("pem", BROKEN.values(), ids=BROKEN)
def test_an_attribute_that_programs_read_in_different_ways_is_refused(pem: bytes) -> None:
    """RFC 2985 section 5.4.2: the attribute has one value. X.690: it is a SET, without more."""
    with pytest.raises(CertificateParseError, match="cannot be read"):
        read_request(pem)


@pytest.mark.slow
@pytest.mark.peer("go")
def test_go_finds_the_same_names(tmp_path: Path) -> None:
    """cert-manager and most authorities for it are written in Go."""
    cases = READ | AMBIGUOUS | BROKEN
    files = [tmp_path / str(number) for number in range(len(cases))]
    for file, pem in zip(files, cases.values(), strict=True):
        file.write_bytes(pem)
    program = go_program("csr_names", Path(__file__).with_name("csr_names.go"))
    said = subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout
    found = dict(zip(cases, said.splitlines(), strict=True))
    assert found["two requests"] == found["plain"] == f"names {HOST}"
    for case, pem in READ.items():
        assert found[case] == f"names {read_request(pem).names[0]}"
