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

__all__ = [
    "ForgedRoot",
    "break_signature",
    "mismatched_key_pem",
    "namesake_of_issuer",
    "reissue",
    "replace_key",
    "resign",
]
