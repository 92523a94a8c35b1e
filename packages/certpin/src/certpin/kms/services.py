"""Read the public key of a key in a service, and refuse types that clients don't verify.

certpin uses one signature algorithm for each kind of key (``x509.signing``): ECDSA with SHA-256 on
P-256 and with SHA-384 on P-384, RSA PKCS#1 v1.5 with SHA-256, Ed25519. A key that its service
restricts to another algorithm raises ``TokenError``.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import TokenError
from certpin.kms.failures import require_client, translated
from certpin.support.text import printable
from certpin.x509.signing import is_signing_key

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from certpin.kms.uri import ServiceURI
    from certpin.x509.signing import SignerPublicKey

# The scheme of ``Signer.sign`` for RSA keys; securesystemslib prefers PSS.
_RSA_SCHEME = "rsa-pkcs1v15-sha256"

_VAULT_TYPES = ("ecdsa-p256", "ed25519")
_USABLE = {
    "awskms": "make one of the spec ECC_NIST_P256, with the usage SIGN_VERIFY (ECC_NIST_P384 and "
    "RSA_2048 to RSA_4096 are possible too)",
    "gcpkms": "make one with the algorithm EC_SIGN_P256_SHA256 (EC_SIGN_P384_SHA384 and "
    "RSA_SIGN_PKCS1_*_SHA256 are possible too)",
    "azurekms": "make one of the type EC or EC-HSM on P-256 or P-384",
    "hv": "make one of the type ecdsa-p256 (ed25519 is possible too, if no Flutter app follows the "
    "pin sets)",
}


class _UnusableTypeError(Exception):
    """A key has a type that certpin can't use. The message is the type, as the service names it.

    ``read_public_key`` turns this error into a ``TokenError`` with the URI of the key.
    """


def read_public_key(uri: ServiceURI) -> tuple[SignerPublicKey, SSlibKey]:
    """Return the public key of a key in a service as two objects.

    The first is a public key of ``cryptography``. The second has the format of TUF metadata, which
    the signers of securesystemslib need.

    Raises:
        TokenError: a package is missing, the service refuses, or clients can't verify signatures of
            this type of key.
    """
    require_client(uri)
    try:
        with translated(uri, _UnusableTypeError):
            return _usable(*_READERS[uri.scheme](uri))
    except _UnusableTypeError as exc:
        raise TokenError(
            f"{uri} has the type {printable(str(exc))[:80]}, and clients of signed pin sets verify "
            "only ECDSA on P-256 and P-384, RSA PKCS#1 v1.5 with SHA-256, and Ed25519",
            fix=_USABLE[uri.scheme],
        ) from None


def _usable(public_key: Any, scheme: str) -> tuple[SignerPublicKey, SSlibKey]:
    """Check that certpin can use a public key, and return it in two formats.

    Args:
        public_key: the public key, as an object of ``cryptography``.
        scheme: the signature scheme to which the service restricts the key; empty if the service
            allows any scheme.

    Returns:
        The key as an object of ``cryptography``, and in the format of TUF metadata.

    Raises:
        _UnusableTypeError: the type of the key, or the scheme, is not one that certpin uses.
    """
    if not is_signing_key(public_key):
        raise _UnusableTypeError(_type_of(public_key))
    tuf_key = sslib_key(public_key)
    if scheme and scheme != tuf_key.scheme:
        raise _UnusableTypeError(scheme)
    return public_key, tuf_key


def sslib_key(public_key: SignerPublicKey) -> SSlibKey:
    """Return a public key in the format of TUF root metadata, with certpin's signature scheme.

    The ID of the key in the result is computed from its content.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from securesystemslib.signer import SSlibKey

    scheme = _RSA_SCHEME if isinstance(public_key, RSAPublicKey) else None
    return SSlibKey.from_crypto(public_key, scheme=scheme)


def _read_aws(uri: ServiceURI) -> tuple[Any, str]:
    """Read the public key of a key in AWS KMS.

    ``uri`` is the parsed URI of the key. See GetPublicKey in the API reference of AWS KMS.

    Returns:
        The public key, and an empty text in place of a signature scheme: AWS KMS doesn't restrict a
        key to one scheme. For example, an RSA key can sign with every RSA algorithm.
    """
    from securesystemslib.exceptions import UnsupportedAlgorithmError
    from securesystemslib.signer import AWSSigner

    try:
        _, key = AWSSigner.import_(uri.name)
    except UnsupportedAlgorithmError as exc:
        raise _UnusableTypeError(str(exc).rpartition(": ")[2]) from None
    except KeyError:  # GetPublicKey has SigningAlgorithms only for keys that sign
        raise _UnusableTypeError("of a key that does not sign") from None
    return _from_pem(key.keyval["public"]), ""


def _read_google(uri: ServiceURI) -> tuple[Any, str]:
    """Read the public key of a key in Google Cloud KMS.

    ``uri`` is the parsed URI of the key. See GetPublicKey and CryptoKeyVersionAlgorithm in the
    reference of google.cloud.kms.v1.

    Returns:
        The public key, and the one signature scheme to which Google Cloud KMS restricts the key.
        ``read_public_key`` refuses the key if this is not the scheme that certpin uses.
    """
    from securesystemslib.exceptions import UnsupportedAlgorithmError
    from securesystemslib.signer import GCPSigner

    try:
        _, key = GCPSigner.import_(uri.name)
    except UnsupportedAlgorithmError as exc:
        raise _UnusableTypeError(str(exc).partition(" is not ")[0]) from None
    if key.keytype not in {"ecdsa", "rsa"}:
        raise _UnusableTypeError(key.scheme)
    return _from_pem(key.keyval["public"]), key.scheme


def _read_azure(uri: ServiceURI) -> tuple[Any, str]:
    """Read the public key of a key in Azure Key Vault, in the version that the URI names.

    securesystemslib is not used for this, because it would read the newest version of the key. See
    Get Key and JsonWebKey in the Azure Key Vault REST API reference.

    Returns:
        The public key, and an empty text in place of a signature scheme.
    """
    from azure.identity import DefaultAzureCredential
    from azure.keyvault.keys import KeyClient
    from cryptography.hazmat.primitives.asymmetric import ec

    parts = urlsplit(str(uri))
    _, _, name, version = parts.path.split("/")
    with (
        DefaultAzureCredential() as credential,
        KeyClient(f"https://{parts.netloc}", credential) as client,
    ):
        key: Any = client.get_key(name, version).key
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
    # Members of enumerations if the client knows them, else texts.
    kind, curve = (str(getattr(each, "value", each) or "") for each in (key.kty, key.crv))
    if kind not in {"EC", "EC-HSM"} or curve not in curves:
        raise _UnusableTypeError(f"{kind} {curve}".strip())
    x, y = int.from_bytes(key.x, "big"), int.from_bytes(key.y, "big")
    return ec.EllipticCurvePublicNumbers(x, y, curves[curve]).public_key(), ""


def _read_vault(uri: ServiceURI) -> tuple[Any, str]:
    """Read the public key of a key in HashiCorp Vault, in the version that the URI names.

    securesystemslib is not used for this, because it would read the newest version of an Ed25519
    key. See "Read key" in Vault's API documentation of the transit engine.

    Returns:
        The public key, and an empty text in place of a signature scheme.

    Raises:
        TokenError: Vault has no such version of the key.
    """
    import hvac
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, version = uri.name.split("/")
    data = hvac.Client().secrets.transit.read_key(name)["data"]
    if data["type"] not in _VAULT_TYPES:
        raise _UnusableTypeError(str(data["type"]))
    if version not in data["keys"]:
        raise TokenError(
            f"there is no version {version} of the key {name} in Vault",
            fix=f"its newest version is {printable(str(data.get('latest_version')))[:20]}",
        )
    text = str(data["keys"][version]["public_key"])
    if data["type"] == "ed25519":
        return Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True)), ""
    return _from_pem(text), ""


_READERS = {
    "awskms": _read_aws,
    "azurekms": _read_azure,
    "gcpkms": _read_google,
    "hv": _read_vault,
}


def _from_pem(text: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(text.encode())


def _type_of(public_key: Any) -> str:
    curve = getattr(public_key, "curve", None)
    return f"EC {curve.name}" if curve else type(public_key).__name__
