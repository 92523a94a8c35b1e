"""Parse the URI of a key on a token: the PKCS#11 URI scheme (RFC 7512).

    pkcs11:token=bank;object=next?module-path=/usr/lib/softhsm/libsofthsm2.so

A URI with an unknown attribute raises ``TokenError``. By RFC 7512 section 2.5, such a URI matches
no key; if the attribute were ignored, the URI could match too many keys. No error contains a value
of the URI, because the value may be a PIN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from certpin.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = "pkcs11:"
# The longest attribute of a token has 64 bytes (CK_SLOT_INFO), or three times as many characters if
# all are encoded; a path on Linux has 4096 (PATH_MAX).
MAX_URI_CHARACTERS = 16_384

# RFC 7512 section 2.3: the attributes of the path, without those of the object.
_TOKEN = frozenset(
    {
        *("token", "serial", "model", "manufacturer"),
        *("slot-id", "slot-description", "slot-manufacturer"),
        *("library-manufacturer", "library-description", "library-version"),
    }
)
_OBJECT = frozenset({"object", "id", "type"})
_QUERY = frozenset({"pin-source", "pin-value", "module-path", "module-name"})

# RFC 7512 section 2.3: pk11-pchar and pk11-qchar.
_BOTH = r"A-Za-z0-9._~:\[\]@!$'()*+,=\-"
_IN_PATH = re.compile(rf"[{_BOTH}&]*+(?:%[0-9A-Fa-f]{{2}}[{_BOTH}&]*+)*", re.ASCII)
_IN_QUERY = re.compile(rf"[{_BOTH}/?|]*+(?:%[0-9A-Fa-f]{{2}}[{_BOTH}/?|]*+)*", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_VERSION = re.compile(r"([0-9]{1,3})(\.[0-9]{1,3})?", re.ASCII)

_ENCODE = "write it as %XX"
_EXAMPLE = "pkcs11:token=bank;object=next"


@dataclass(frozen=True)
class TokenURI:
    """A parsed PKCS#11 URI: a key, its token, and the module to use. It never contains a PIN.

    Attributes:
        token: the token's attributes by the names of RFC 7512 (``token``, ``serial``, …).
        label: the label of the key (CKA_LABEL).
        id: the ID of the key (CKA_ID). At least one of ``label`` and ``id`` is set.
        module: the path of the PKCS#11 module (``module-path``); ``None`` for the one in the
            environment.
        pin_file: the path of the file with the PIN (``pin-source``); ``None`` to ask for it.
    """

    token: Mapping[str, str] = field(hash=False)
    label: str | None = None
    id: bytes | None = None
    module: Path | None = None
    pin_file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> TokenURI:
        """Parse a PKCS#11 URI, and return it. Neither the module nor the PIN file is opened.

        Raises:
            TokenError: the text is not a URI of a private key, or contains a PIN.
        """
        path, query = _split(text)
        label, identifier = path.get("object"), path.get("id")
        if label is None and identifier is None:
            raise TokenError("the PKCS#11 URI names no key", fix=f"add object= or id=: {_EXAMPLE}")
        if _text("type", path.get("type", b"private")) != "private":
            raise TokenError(
                "the PKCS#11 URI names an object that is not a private key",
                fix="remove type=, or write type=private",
            )
        _refuse_query(query)
        token = {
            name: _token_attribute(name, value) for name, value in path.items() if name in _TOKEN
        }
        return cls(
            MappingProxyType(token),
            None if label is None else _text("object", label),
            identifier,
            _module(query.get("module-path")),
            _pin_file(query.get("pin-source")),
        )

    def __str__(self) -> str:
        """Return the URI for messages, without the paths of the module and of the PIN file."""
        parts = [f"{name}={_quoted(value)}" for name, value in self.token.items()]
        if self.label is not None:
            parts.append(f"object={_quoted(self.label)}")
        if self.id is not None:
            parts.append(f"id={''.join(f'%{byte:02X}' for byte in self.id)}")
        return _SCHEME + ";".join(parts)


def is_token_uri(text: str) -> bool:
    """Return True if a text begins with ``pkcs11:``. The rest of the text is not checked."""
    return text[: len(_SCHEME)].lower() == _SCHEME  # RFC 3986 section 3.1: case-insensitive


def _split(text: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Split a PKCS#11 URI into its attributes: those of its path, and those of its query.

    Each is a dict from the name of the attribute to its percent-decoded value. Raises
    ``TokenError`` if the URI is invalid or too long, or has an unknown or repeated attribute.
    """
    if not is_token_uri(text):
        raise TokenError("this is not a PKCS#11 URI", fix=f"write it as {_EXAMPLE}")
    if len(text) > MAX_URI_CHARACTERS:
        raise TokenError(f"a PKCS#11 URI has at most {MAX_URI_CHARACTERS} characters")
    path, _, query = text[len(_SCHEME) :].partition("?")
    return (
        _attributes(path, ";", _IN_PATH, _TOKEN | _OBJECT),
        _attributes(query, "&", _IN_QUERY, _QUERY),
    )


def _attributes(
    text: str, separator: str, allowed: re.Pattern[str], known: frozenset[str]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise TokenError(
                "a part of the PKCS#11 URI is not NAME=VALUE",
                fix=f"write it as {_EXAMPLE}; in a shell, quote it",
            )
        if name not in known:
            raise TokenError(
                f"the PKCS#11 URI has an unknown attribute: {name}",
                fix=f"use one of {', '.join(sorted(known))}",
            )
        if name in found:  # RFC 7512 section 2.3
            raise TokenError(f"the PKCS#11 URI has {name} twice", fix="remove one of them")
        if not allowed.fullmatch(value):
            raise TokenError(
                f"{name} of the PKCS#11 URI has a character that must be encoded", fix=_ENCODE
            )
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    """Return the value of an attribute as text: UTF-8 (RFC 7512 section 2.3) without NUL.

    ``name`` is the name of the attribute, for the error. Raises ``TokenError`` for other bytes.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise TokenError(f"{name} of the PKCS#11 URI is not UTF-8", fix=_ENCODE) from None
    if "\0" in text:
        raise TokenError(f"{name} of the PKCS#11 URI contains a NUL", fix="remove it")
    return text


def _token_attribute(name: str, value: bytes) -> str:
    """Return an attribute of a URI that describes the token, in the form in which tokens report it.

    ``name`` is the name of the attribute, and ``value`` its value. In ``slot-id`` and
    ``library-version``, numbers lose leading zeros. Raises ``TokenError`` if such a value is
    invalid, or if the value is not text.
    """
    text = _text(name, value)
    if name == "slot-id":
        if not _NUMBER.fullmatch(text):
            raise TokenError(
                "slot-id of the PKCS#11 URI is not a number", fix="for example slot-id=0"
            )
        return str(int(text))
    if name == "library-version":
        match = _VERSION.fullmatch(text)
        if match is None:
            raise TokenError(
                "library-version of the PKCS#11 URI is not a version", fix="for example 2.6"
            )
        return f"{int(match[1])}.{int((match[2] or '.0')[1:])}"
    return text


def _refuse_query(query: Mapping[str, bytes]) -> None:
    if "pin-value" in query:
        raise TokenError(
            "the PKCS#11 URI contains a PIN: shell history, logs and process lists reveal it",
            fix="remove pin-value, and change that PIN; certpin asks for it, takes it from "
            "CERTPIN_PKCS11_PIN, or reads it from pin-source=file:/PATH",
        )
    if "module-name" in query:
        raise TokenError(
            "module-name of a PKCS#11 URI is not supported", fix="give module-path=/PATH/TO/MODULE"
        )


def _module(value: bytes | None) -> Path | None:
    if value is None:
        return None
    return _absolute("module-path", _text("module-path", value))


def _pin_file(value: bytes | None) -> Path | None:
    """Return the path in ``pin-source``, a ``file:`` URI on this machine.

    ``value`` is the attribute, and ``None`` if the URI lacks it: the result is then ``None``. See
    RFC 7512 section 2.4 and RFC 8089.
    """
    if value is None:
        return None
    text = _text("pin-source", value)
    if not text.startswith("file:"):
        raise TokenError("pin-source of the PKCS#11 URI names no file", fix="write file:/PATH")
    path = text.removeprefix("file:")
    for host in ("//localhost/", "///"):
        if path.startswith(host):
            path = path[len(host) - 1 :]
            break
    return _absolute("pin-source", path)


def _absolute(name: str, text: str) -> Path:
    """Return the file path that an attribute of a URI contains.

    ``name`` is the name of the attribute, and ``text`` its value. Raises ``TokenError`` if the path
    begins with ``//``, or is relative: that would load code or a PIN from the working directory.
    """
    if not text.startswith("/") or text.startswith("//"):
        raise TokenError(
            f"{name} of the PKCS#11 URI is not an absolute path", fix="begin it with /"
        )
    return Path(text)


def _quoted(text: str) -> str:
    return quote(text, safe=":[]@!$'()*+,=&")
