"""The key of a list: P-256, and nothing else, since the SDKs know nothing else."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from certpin.errors import KeyParseError
from certpin.x509 import printable, reader
from certpin.x509._text import describe_key
from certpin.x509.keys import public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from certpin.x509.reader import Passphrase
    from certpin.x509.signing import Signer

_POINT_BYTES = 65  # 04, and two coordinates of 32 bytes (SEC 1 section 2.3.3)
_MAKE_ONE = (
    "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out wultra.key"
)


def require_p256(signer: Signer) -> EllipticCurvePublicKey:
    """The public half of a key that the SDKs verify with. Raises ``KeyParseError``."""
    return _from_spki(signer.spki)


def for_sdk(key: EllipticCurvePublicKey) -> str:
    """A public key as the configuration of an SDK wants it: base64 of its point (ANSI X9.63)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.b64encode(point).decode()


def key_of_file(data: bytes, passphrase: Passphrase) -> EllipticCurvePublicKey:
    """The first key in a file: public, private, of a certificate. Raises ``InputError``."""
    return _from_spki(reader.read(data, passphrase)[0].spki)


def key_of_text(text: str) -> EllipticCurvePublicKey:
    """A public key as it stands in the configuration of an SDK. Raises ``KeyParseError``."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _no_key(text) from exc
    if len(data) == _POINT_BYTES:
        return _from_point(data)
    try:
        whole = _from_spki(data)
    except KeyParseError:
        raise _no_key(text) from None
    raise KeyParseError(
        "this is a public key as PEM files have it; the SDKs want its point alone",
        fix=f"put this into the app: {for_sdk(whole)}",
    )


def _from_spki(spki: bytes) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    words = describe_key(public_key(spki).spki)
    key = load_der_public_key(spki) if words == "EC P-256" else None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyParseError(f"the SDKs verify with P-256 alone, and this is {words}", fix=_MAKE_ONE)
    return key


def _from_point(point: bytes) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as exc:
        raise KeyParseError(
            "the public key is no point of P-256", fix="copy it again, whole"
        ) from exc


def _no_key(text: str) -> KeyParseError:
    short = text if len(text) <= 80 else text[:77] + "…"
    return KeyParseError(
        f"{printable(short)!r} is no file, and no public key as an SDK has it",
        fix=f"an SDK has the base64 of {_POINT_BYTES} bytes, beginning with B: "
        "certpin publish wultra --public-key prints it",
    )
