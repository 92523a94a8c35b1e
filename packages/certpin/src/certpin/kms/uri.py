"""Parse the URI of a key in a key service, in the forms that securesystemslib's signers use.

    awskms:alias/pins-online
    gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1
    azurekms://VAULT.vault.azure.net/keys/NAME/VERSION
    hv:NAME/VERSION

A URI names one version of a key, because each version is a different key: it has another pin, and
another ID in the root of signed pin sets. Keys of AWS KMS have no versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from certpin.errors import TokenError

# AWS KMS limits the name of a key to 2048 characters (GetPublicKey, KeyId); the others are shorter.
MAX_URI_CHARACTERS = 2100


class Service(NamedTuple):
    """The properties of a key service that certpin supports.

    Attributes:
        title: the name of the service, for messages.
        extra: the extra of certpin that installs the service's client.
        modules: the Python modules of the client.
        name: a pattern for the part of a URI after the scheme, which names the key.
        example: a valid URI.
        needs: the permissions and credentials to get, as text for the ``fix:`` of an error.
    """

    title: str
    extra: str
    modules: tuple[str, ...]
    name: re.Pattern[str]
    example: str
    needs: str


_GOOGLE_ID = r"[A-Za-z0-9_-]{1,63}"

SERVICES = {
    "awskms": Service(
        "AWS KMS",
        "awskms",
        ("boto3",),
        # KeyId of GetPublicKey: a key ID, an alias, or the ARN of one of these.
        re.compile(
            r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]{1,40}:[0-9]{12}:key/[A-Za-z0-9-]{1,128}"
            r"|(?:arn:aws[a-z-]*:kms:[a-z0-9-]{1,40}:[0-9]{12}:)?alias/[A-Za-z0-9/_-]{1,250}"
            r"|[A-Za-z0-9-]{1,128})",
            re.ASCII,
        ),
        "awskms:alias/pins-online",
        "allow kms:GetPublicKey and kms:Sign for the key, and give credentials and a region in the "
        "environment, as to the aws command (AWS_DEFAULT_REGION)",
    ),
    "gcpkms": Service(
        "Google Cloud KMS",
        "gcpkms",
        ("google.cloud.kms",),
        # Names of resources: IDs of [a-zA-Z0-9_-]{1,63}; the ID of an old project has a domain.
        re.compile(
            rf"projects/[A-Za-z0-9._:-]{{1,100}}/locations/{_GOOGLE_ID}/keyRings/{_GOOGLE_ID}"
            rf"/cryptoKeys/{_GOOGLE_ID}/cryptoKeyVersions/[1-9][0-9]{{0,9}}",
            re.ASCII,
        ),
        "gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1",
        "give the roles cloudkms.publicKeyViewer and cloudkms.signer for the key, and application "
        "default credentials",
    ),
    "azurekms": Service(
        "Azure Key Vault",
        "azurekms",
        ("azure.identity", "azure.keyvault.keys"),
        # Object identifiers: a name of [0-9a-zA-Z-]{1,127}, and a version of 32 characters.
        re.compile(
            r"//[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?(?::[0-9]{1,5})?"
            r"/keys/[0-9A-Za-z-]{1,127}/[0-9A-Za-z]{32}",
            re.ASCII,
        ),
        "azurekms://VAULT.vault.azure.net/keys/NAME/VERSION",
        "give the role Key Vault Crypto User for the key, and credentials that "
        "DefaultAzureCredential finds",
    ),
    "hv": Service(
        "Vault",
        "vault",
        ("hvac",),
        # GenericNameRegex of Vault's framework package, and the number of a version.
        re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?/[1-9][0-9]{0,8}", re.ASCII),
        "hv:NAME/VERSION",
        "allow read of transit/keys/NAME and update of transit/sign/NAME, and set VAULT_ADDR and "
        "VAULT_TOKEN",
    ),
}

_LEAF_SERVICES = frozenset({"awskms"})

# The other schemes of securesystemslib, with the reason and the fix.
_UNSUPPORTED = {
    "sigstore": (
        (
            "securesystemslib does not register this scheme, because its metadata format is "
            "unstable; no TUF client verifies such a signature by default; and it needs the "
            "services Fulcio and Rekor"
        ),
        "use a key in a file, on a PKCS#11 token or in a key service",
    ),
    "hsm": (
        "it selects a key by a number only, on a token that it does not name",
        "write a PKCS#11 URI: pkcs11:token=bank;object=next",
    ),
    "file2": ("certpin reads key files itself", "give the path of the file without a scheme"),
}
_OTHERWISE = (
    "",
    (
        "give a file, a PKCS#11 URI (pkcs11:token=bank;object=next), or a key in a service "
        "(awskms:, gcpkms:, azurekms:, hv:); for a file of this name, write ./NAME"
    ),
)


@dataclass(frozen=True)
class ServiceURI:
    """The parsed URI of a key in a key service.

    Attributes:
        scheme: the scheme of the service in lower case, such as ``awskms``.
        name: the part after the scheme, which names the key, and its version except for AWS KMS.
    """

    scheme: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ServiceURI:
        """Parse the URI of a key in a key service, and return it. The service is not contacted.

        Raises:
            TokenError: the URI is invalid, or names no version of the key.
        """
        scheme, _, name = text.partition(":")
        service = SERVICES.get(scheme.lower())
        if service is None:
            raise unsupported_scheme(text)
        if len(text) > MAX_URI_CHARACTERS or not service.name.fullmatch(name):
            raise TokenError(
                f"this is not the URI of a key in {service.title}",
                fix=f"write it as {service.example}",
            )
        return cls(scheme.lower(), name)

    @property
    def service(self) -> Service:
        """The description of the key service that the URI names."""
        return SERVICES[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


def is_service_uri(text: str) -> bool:
    """Return True if a text begins with the scheme of a key service. The rest is not checked."""
    scheme, colon, _ = text.partition(":")
    return bool(colon) and scheme.lower() in SERVICES


def require_leaf_service(text: str) -> None:
    """Check that a key can be the key of a TLS server, and so of a leaf certificate.

    A key in AWS KMS, in a file or on a token can. A key in another key service can only sign pin
    sets.

    Args:
        text: the file, pin or URI that names a key. Only the URI of a key in a key service is
            ever refused.

    Raises:
        TokenError: the key is in a key service other than AWS KMS.
    """
    scheme = text.partition(":")[0].lower()
    if scheme in SERVICES and scheme not in _LEAF_SERVICES:
        raise TokenError(
            f"a key in {SERVICES[scheme].title} can sign pin sets, but can't be a server's key",
            fix="use a key in a file, on a PKCS#11 token (the services' own PKCS#11 modules too), "
            "or in AWS KMS",
        )


def unsupported_scheme(text: str) -> TokenError:
    """Return the error to raise for a key URI with a scheme that certpin does not support.

    The error gives the reason, if certpin knows the scheme. ``text`` is the URI.
    """
    scheme = text.partition(":")[0][:40]
    reason, fix = _UNSUPPORTED.get(scheme.lower(), _OTHERWISE)
    problem = f"keys of the scheme {scheme + ':'!r} are not supported"
    return TokenError(f"{problem}: {reason}" if reason else problem, fix=fix)
