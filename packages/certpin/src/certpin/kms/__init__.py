"""Keys in cloud key services: AWS KMS, Google Cloud KMS, Azure Key Vault and HashiCorp Vault.

    key = open_service_key("awskms:alias/pins-online")
    key.spki                 # the public key, which can be pinned
    key.sign(data)           # signed in the service

Each service needs an extra of certpin: ``awskms``, ``gcpkms``, ``azurekms`` or ``vault``.
"""

from __future__ import annotations

from certpin.kms.key import ServiceKey, open_service_key
from certpin.kms.uri import ServiceURI, is_service_uri, require_leaf_service, unsupported_scheme

__all__ = [
    "ServiceKey",
    "ServiceURI",
    "is_service_uri",
    "open_service_key",
    "require_leaf_service",
    "unsupported_scheme",
]
