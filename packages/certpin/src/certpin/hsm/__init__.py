"""Keys on PKCS#11 tokens: found by an RFC 7512 URI, used on the token, and never extracted.

    with open_key("pkcs11:token=bank;object=next", ask_pin) as key:
        key.spki                 # what to pin
        key.sign(data)           # signed on the token

Needs ``pip install 'certpin[pkcs11]'``, and the token's PKCS#11 module (a shared library).
"""

from __future__ import annotations

from certpin.hsm.key import TokenKey, destroy_key, generate_key, open_key, open_or_generate_key
from certpin.hsm.uri import TokenURI, is_token_uri

__all__ = [
    "TokenKey",
    "TokenURI",
    "destroy_key",
    "generate_key",
    "is_token_uri",
    "open_key",
    "open_or_generate_key",
]
