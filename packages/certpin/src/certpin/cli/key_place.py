"""The places of keys that a user can name: a file, a PKCS#11 token, or a cloud key service."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from certpin.cli.options import ask_pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.hsm import TokenKey
    from certpin.kms import ServiceKey

    KeyPlace = Literal["file", "token", "service"]

# RFC 3986 section 3.1. A single letter is a drive on Windows.
URI_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)


def key_place(text: str) -> KeyPlace:
    """Return the kind of place for a key that a text names: a file, a token, or a key service.

    Args:
        text: the path of a file; or a URI, valid or not.

    Raises:
        TokenError: the URI has another scheme. Used as a path, it would name a new, unencrypted
            private key.
    """
    if URI_SCHEME.match(text) is None:
        return "file"
    from certpin.hsm import is_token_uri
    from certpin.kms import is_service_uri, unsupported_scheme

    if is_token_uri(text):
        return "token"
    if is_service_uri(text):
        return "service"
    raise unsupported_scheme(text)


def is_on_token(place: str) -> bool:
    """Return True if a text names a key on a PKCS#11 token.

    Raises:
        TokenError: the text is a URI with an unknown scheme (``key_place``).
    """
    return key_place(place) == "token"


def makes_on_token(place: str) -> bool:
    """Return True if a new key at this place is made on a PKCS#11 token, False for a file.

    Raises:
        TokenError: the place is a URI with an unknown scheme, or in a key service: certpin makes no
            keys there.
    """
    from certpin.errors import TokenError
    from certpin.kms import ServiceURI

    found = key_place(place)
    if found == "service":
        title = ServiceURI.parse(place).service.title
        raise TokenError(
            f"certpin makes no key in {title}",
            fix=f"make it with the tools of {title}, and give its URI to the command that takes an "
            "existing key",
        )
    return found == "token"


@contextmanager
def open_by_uri(
    uri: str, pin: Callable[[str], str] = ask_pin, *, for_server: bool = True
) -> Iterator[TokenKey | ServiceKey]:
    """Context manager: open a key on a PKCS#11 token or in a key service, to sign with it.

    Args:
        uri: the URI of the key.
        pin: returns the PIN of a token, for example by asking the user.
        for_server: the key is a server's. Then it may be in no key service but AWS KMS.

    Raises:
        TokenError: the URI, the token or the key service can't be used.
    """
    from certpin.hsm import is_token_uri, open_key
    from certpin.kms import open_service_key, require_leaf_service

    if is_token_uri(uri):
        with open_key(uri, pin) as on_token:
            yield on_token
        return
    if for_server:
        require_leaf_service(uri)
    yield open_service_key(uri)


def serving_note(place: KeyPlace) -> str:
    """Return a sentence about how servers can use a key in this kind of place; empty for a file."""
    if place == "file":
        return ""
    where = "on a token" if place == "token" else "in a key service"
    return (
        f"The key stays {where}: it can't be installed on a server that reads key files. nginx, "
        "Apache and HAProxy can use it through a PKCS#11 module: see docs/guides/key-services.md."
    )
