"""Forge certificates and keys that no authority and no library would create."""

from __future__ import annotations

from certpin.lab.forge.curve import ForgedRoot
from certpin.lab.forge.forgeries import (
    break_signature,
    mismatched_key_pem,
    namesake_of_issuer,
    reissue,
    replace_key,
    resign,
)
from certpin.lab.forge.keys import (
    large_rsa_key,
    ml_dsa_key,
    pss_identity,
    small_rsa_key,
    version_1,
)

__all__ = [
    "ForgedRoot",
    "break_signature",
    "large_rsa_key",
    "mismatched_key_pem",
    "ml_dsa_key",
    "namesake_of_issuer",
    "pss_identity",
    "reissue",
    "replace_key",
    "resign",
    "small_rsa_key",
    "version_1",
]
