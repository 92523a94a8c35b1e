"""The name of a key on a token: the PKCS#11 URI scheme (RFC 7512).

    pkcs11:token=bank;object=next?module-path=/usr/lib/softhsm/libsofthsm2.so

An attribute that is unknown here is refused, since the URI then means less than it says (RFC 7512
section 2.5 lets it match nothing). No error repeats a value: one of them may be a PIN.
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
# The longest attribute of a token has 64 bytes (CK_SLOT_INFO), three times as many when all of them
# are encoded; a path of Linux has 4096 (PATH_MAX). A URI of more than this is none of ours.
MAX_URI_CHARACTERS = 16_384

# RFC 7512 section 2.3: the attributes of the path, less those that name the object.
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
_IN_PATH = re.compile(rf"(?:[{_BOTH}&]|%[0-9A-Fa-f]{{2}})*+", re.ASCII)
_IN_QUERY = re.compile(rf"(?:[{_BOTH}/?|]|%[0-9A-Fa-f]{{2}})*+", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_VERSION = re.compile(r"([0-9]{1,3})(\.[0-9]{1,3})?", re.ASCII)

# RFC 3986 section 3.1. One letter is a drive of Windows.
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)

_ENCODE = "write it as %XX"
_EXAMPLE = "pkcs11:token=bank;object=next"


@dataclass(frozen=True)
class TokenURI:
    """Which key, on which token, by which module. It holds no PIN.

    ``token`` is what the token must be, by RFC 7512's names (``token``, ``serial``, ``slot-id``…).
    ``label`` and ``id`` are the key's (CKA_LABEL, CKA_ID): one of them is there. ``module`` and
    ``pin_file`` come from ``module-path`` and ``pin-source``.
    """

    token: Mapping[str, str] = field(hash=False)
    label: str | None = None
    id: bytes | None = None
    module: Path | None = None
    pin_file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> TokenURI:
        """Read a URI. Raises ``TokenError``; nothing is opened, and no file is read."""
        path, query = _split(text)
        label, identifier = path.get("object"), path.get("id")
        if label is None and identifier is None:
            raise TokenError(
                "the PKCS#11 URI names no key", fix=f"say which one by object= or id=: {_EXAMPLE}"
            )
        if _text("type", path.get("type", b"private")) != "private":
            raise TokenError(
                "the PKCS#11 URI names something that is no private key",
                fix="leave type= out, or write type=private",
            )
        _refuse(query)
        token = {name: _of_token(name, value) for name, value in path.items() if name in _TOKEN}
        return cls(
            MappingProxyType(token),
            None if label is None else _text("object", label),
            identifier,
            _module(query.get("module-path")),
            _pin_file(query.get("pin-source")),
        )

    def __str__(self) -> str:
        """The token and the key alone: without the module, and without where the PIN is."""
        words = [f"{name}={_quoted(value)}" for name, value in self.token.items()]
        if self.label is not None:
            words.append(f"object={_quoted(self.label)}")
        if self.id is not None:
            words.append(f"id={''.join(f'%{byte:02X}' for byte in self.id)}")
        return _SCHEME + ";".join(words)


def is_token_uri(text: str) -> bool:
    """Whether somebody means a key on a token, well written or not."""
    return text[: len(_SCHEME)].lower() == _SCHEME  # RFC 3986 section 3.1: in any case


def is_on_token(place: str) -> bool:
    """Say where the key of a place is: on a token, or in a file.

    Args:
        place: the place of a key as the user wrote it: a URI, or the path of a file.

    Returns:
        True for a PKCS#11 URI, well written or not; False for a path.

    Raises:
        TokenError: it is a URI of another scheme. Taken for a path, it would be the name of a new,
            unencrypted private key.
    """
    if is_token_uri(place):
        return True
    if found := _OTHER_SCHEME.match(place):
        raise TokenError(
            f"keys of the scheme {found[0][:40]!r} are not supported",
            fix=f"give a file or a PKCS#11 URI ({_EXAMPLE}); for a file of this name, write ./NAME",
        )
    return False


def _split(text: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The attributes of the path and of the query, decoded."""
    if not is_token_uri(text):
        raise TokenError("this is not a PKCS#11 URI", fix=f"it looks like {_EXAMPLE}")
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
                "a part of the PKCS#11 URI is no NAME=VALUE",
                fix=f"it looks like {_EXAMPLE}; in a shell, put it into quotes",
            )
        if name not in known:
            raise TokenError(
                f"the PKCS#11 URI has an attribute that certpin does not know: {name}",
                fix=f"known here are {', '.join(sorted(known))}",
            )
        if name in found:  # RFC 7512 section 2.3
            raise TokenError(f"the PKCS#11 URI has {name} twice", fix="leave one of them out")
        if not allowed.fullmatch(value):
            raise TokenError(
                f"{name} of the PKCS#11 URI has a character that may not stand there", fix=_ENCODE
            )
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    """RFC 7512 section 2.3: strings are UTF-8; a token's are never empty, and have no NUL."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise TokenError(f"{name} of the PKCS#11 URI is not UTF-8", fix=_ENCODE) from None
    if "\0" in text:
        raise TokenError(f"{name} of the PKCS#11 URI has a NUL in it", fix="leave it out")
    return text


def _of_token(name: str, value: bytes) -> str:
    """What a token says of itself, as it says it: numbers without zeros before them."""
    text = _text(name, value)
    if name == "slot-id":
        if not _NUMBER.fullmatch(text):
            raise TokenError("slot-id of the PKCS#11 URI is no number", fix="slot-id=0, say")
        return str(int(text))
    if name == "library-version":
        match = _VERSION.fullmatch(text)
        if match is None:
            raise TokenError("library-version of the PKCS#11 URI is no version", fix="2.6, say")
        return f"{int(match[1])}.{int((match[2] or '.0')[1:])}"
    return text


def _refuse(query: Mapping[str, bytes]) -> None:
    if "pin-value" in query:
        raise TokenError(
            "the PKCS#11 URI has a PIN in it: it ends in histories, logs and lists of processes",
            fix="leave pin-value out, and change that PIN; certpin asks for it, takes it from "
            "CERTPIN_PKCS11_PIN, or reads it from pin-source=file:/PATH",
        )
    if "module-name" in query:
        raise TokenError(
            "module-name of a PKCS#11 URI is not looked up", fix="give module-path=/PATH/TO/MODULE"
        )


def _module(value: bytes | None) -> Path | None:
    if value is None:
        return None
    return _absolute("module-path", _text("module-path", value))


def _pin_file(value: bytes | None) -> Path | None:
    """RFC 7512 section 2.4: a file: URI (RFC 8089), with or without an empty or local host."""
    if value is None:
        return None
    text = _text("pin-source", value)
    if not text.startswith("file:"):
        raise TokenError("pin-source of the PKCS#11 URI names no file", fix="file:/PATH is read")
    path = text.removeprefix("file:")
    for host in ("//localhost/", "///"):
        if path.startswith(host):
            path = path[len(host) - 1 :]
            break
    return _absolute("pin-source", path)


def _absolute(name: str, text: str) -> Path:
    """What is loaded into this process, or holds a secret, depends on nobody's present folder."""
    if not text.startswith("/") or text.startswith("//"):
        raise TokenError(f"{name} of the PKCS#11 URI is no absolute path", fix="begin it with /")
    return Path(text)


def _quoted(text: str) -> str:
    return quote(text, safe=":[]@!$'()*+,=&")
