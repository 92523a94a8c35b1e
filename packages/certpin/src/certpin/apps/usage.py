"""Decide from the code around a string if it is a pin, and of which flavour of the app.

A flavour is a variant of the app, such as development or staging. The decision follows from the
words in the names around the string. It is the same for every programming language: the module of
the language collects the names as ``Usage`` objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins.policy import PinKind

# Whether an app accepts or refuses a key; empty if nothing says so.
AcceptanceKind = Literal["accepts", "refuses", "unclear", ""]

MAX_NAME = 100  # characters of a name, or of the key of a map

# The words of names. "sha256", "hash" or "key" say nothing: they are in the names of any digest.
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
PIN_WORDS = frozenset(
    {
        *("pin", "pins", "pinned", "pinner", "pinning", "pinset", "fingerprint", "fingerprints"),
        *("thumbprint", "thumbprints", "spki", "cert", "certs", "certificate", "certificates"),
        *("ssl", "tls"),
    }
)
_TLS_WORDS = PIN_WORDS - {"pin", "pins"}
_KEY_WORDS = frozenset({"spki"})
_CERTIFICATE_WORDS = frozenset(
    {
        *("cert", "certs", "certificate", "certificates"),
        *("fingerprint", "fingerprints", "thumbprint", "thumbprints"),
    }
)
_KEY_PAIRS = frozenset({("public", "key"), ("public", "keys"), ("key", "pin"), ("key", "pins")})
# A certificate, but not that of a server: the app's own, which signs its package.
_SIGNING_WORDS = frozenset({"signing", "signature", "signatures", "apk", "keystore", "assetlinks"})
# With these words, "pin" is a number that a user enters, or the digest has another purpose.
_OTHER_WORDS = frozenset(
    {
        *("address", "aes", "asset", "block", "checksum", "code", "color", "colors"),
        *("colour", "colours", "commit", "contract", "crypto"),
        *("device", "dummy", "encryption", "eth", "ethereum", "etag", "file", "git", "hmac"),
        *("image", "integrity", "iv", "md", "mnemonic", "model", "nonce", "password", "private"),
        *("salt", "secret", "seed", "session", "token", "transaction", "tx", "unlock", "user"),
        "wallet",
    }
)
# The pins of development are no backups of those of production.
_DEVELOPMENT = frozenset(
    {
        *("debug", "dev", "development", "preprod", "qa", "sandbox", "stage", "staging", "stg"),
        *("test", "uat"),
    }
)
_PRODUCTION = frozenset({"prd", "prod", "production"})
_BEFORE_PRODUCTION = frozenset({"non", "not", "pre"})  # preProd is not for the store
_NEGATIONS = frozenset({"no", "non", "not"})
# An app refuses the keys in such a list. "blacklist" may be written as two words.
_REFUSED = frozenset(
    {
        *("banned", "blacklist", "blacklisted", "blocked", "blocklist", "blocklisted"),
        *("compromised", "denied", "denylist", "denylisted", "disallowed", "distrusted"),
        *("forbidden", "leaked", "refused", "rejected", "revoked", "stolen", "untrusted"),
    }
)
_ACCEPTED = frozenset({"accepted", "allowed", "allowlist", "expected", "trusted", "valid"})
# A name with such a word is that of keys. "certificate" also is in names of handlers of errors.
_KEY_NOUNS = frozenset(
    {
        *("digest", "digests", "fingerprint", "fingerprints", "hash", "hashes", "key", "keys"),
        *("pin", "pins", "pinset", "spki", "thumbprint", "thumbprints"),
    }
)
_CERTIFICATE = frozenset({"cert", "certificate"})
_CERTIFICATES = frozenset({"certs", "certificates"})


@dataclass(frozen=True)
class Acceptance:
    """Whether an app accepts or refuses a key, according to the nearest name that says so.

    Attributes:
        kind: ``accepts``, ``refuses`` or ``unclear``; empty if no name says anything about it.
        name: the name, such as ``revokedPins``.
        is_outer: True if the name is that of a function or a class around the key.
    """

    kind: AcceptanceKind = ""
    name: str = ""
    is_outer: bool = False

    def inside(self, name: str, *, is_outer: bool) -> Acceptance:
        """Return the acceptance of the key, with one more name around the key taken into account.

        Call it for one name after the other, from the nearest to the key outwards. The nearest name
        that says something decides: later names don't change the result. But if the nearest says
        "accepts" and a later one "refuses", the result becomes "unclear".

        Args:
            name: the name of a variable, function, class or file around the key.
            is_outer: True if the name is that of a function, a class or a source file.
        """
        kind = acceptance(name, contains=not is_outer)
        if self.kind == "accepts" and kind == "refuses":
            kind = "unclear"
        elif self.kind:
            return self
        return Acceptance(kind, name, is_outer) if kind else self


@dataclass(frozen=True)
class Usage:
    """One way in which the code uses a string.

    Attributes:
        names: the names of the parameter, variable or map key that gets the string.
        outer: the names of the function and the class around the string.
        receiver: the kind of digest (``sha256`` or ``cert-sha256``) that the called function
            compares; None if the function is unknown.
        hosts: the hosts that the code assigns to the string.
        is_searched: True if the code searches for the string in another string.
        nearby: if ``hosts`` is empty, the hosts in the code beside the string; else empty.
        host_expression: if ``hosts`` is empty, an expression that seems to be the host.
        flavours: words such as ``dev``, for builds that are not for the app store, in names and
            conditions that are about pins.
        own_flavours: such words in all other names around the string. They count only at the place
            where the string itself is written, and not where the code uses a constant with it.
        is_production: True if a name contains a word such as ``prod``, for the app store's build.
        acceptance: whether the names say that the app accepts or refuses the key. For example, a
            list with the name ``revokedPins`` contains keys that the app refuses.
    """

    names: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    receiver: PinKind | None = None
    hosts: tuple[str, ...] = ()
    is_searched: bool = False
    nearby: tuple[str, ...] = ()
    host_expression: str = ""
    flavours: tuple[str, ...] = ()
    own_flavours: tuple[str, ...] = ()
    is_production: bool = False
    acceptance: Acceptance = Acceptance()


class UsageSigns:
    """Evaluates all usages of a string: whether the string is a pin, and of which kind.

    Attributes:
        receiver: the kind of digest (``sha256`` or ``cert-sha256``) that a known call with the
            string compares; None without such a call.
        is_other: True if a name says that the string has another purpose, such as a password.
        is_signing: True if a name is about the certificate that signs the app's package.
        is_no_placeholder: True if the string is no placeholder for a missing pin, whatever its text
            is: it has another purpose, or the code searches for it in another string.
        is_pin: True if the call that gets the string, or the names around it, show that it is a
            pin.
        names_key: True if a name says that the string is a pin of a public key, not of a
            certificate.
        names_certificate: True if a name says that the string is the fingerprint of a certificate.
    """

    def __init__(self, usages: Iterable[Usage]) -> None:
        usages = tuple(usages)
        names = [words(name) for usage in usages for name in usage.names]
        inner = {word for name in names for word in name}
        outer = {word for usage in usages for name in usage.outer for word in words(name)}
        self.receiver = next((each.receiver for each in usages if each.receiver), None)
        every_pair = {pair for name in names for pair in pairwise(name)}
        around = {pair for x in usages for name in x.outer for pair in pairwise(words(name))}
        is_user_pin = ("pin", "code") in around or ("pin", "hash") in every_pair
        is_user_pin = is_user_pin and not (inner | outer) & _TLS_WORDS
        is_origin = ("of", "origin") in every_pair
        self.is_other = bool(inner & _OTHER_WORDS) or is_user_pin or is_origin
        self.is_signing = bool(inner & _SIGNING_WORDS)
        self.is_no_placeholder = self.is_other or any(usage.is_searched for usage in usages)
        # "pin" can be a number that a user enters; the other words are about certificates.
        is_certain = bool(inner & _TLS_WORDS) and not is_origin
        is_named = is_certain or (bool((inner | outer) & PIN_WORDS) and not self.is_other)
        self.is_pin = bool(self.receiver) or is_named
        self.names_key = bool(inner & _KEY_WORDS or every_pair & _KEY_PAIRS)
        self.names_certificate = bool(inner & _CERTIFICATE_WORDS)


def flavour_of_usages(usages: tuple[Usage, ...]) -> str:
    """Return the flavour (an app variant such as ``dev``) that a pin belongs to.

    ``usages`` are the ways in which the code uses the string with the pin. Return an empty string
    if the flavour is that of the app store's build, or unknown.
    """
    own = [word for usage in usages[:1] for word in (*usage.flavours, *usage.own_flavours)]
    others = [word for usage in usages[1:] for word in usage.flavours]
    if not own and any(usage.is_production for usage in usages):
        return ""
    return next(iter(own or others), "")


def acceptance_of_usages(usages: tuple[Usage, ...]) -> Acceptance:
    """Return whether the app accepts or refuses a key, according to the names around its usages.

    The name of a variable or list that contains the key always counts. The name of a function or
    class counts only if the key is written inside it. A function that only uses a constant with the
    key possibly just prints the key: if no other name counts, and the name of such a function
    suggests a refusal, the answer is "unclear".

    Args:
        usages: the usage at which the key is written, then those of the constants that contain it.
    """
    said = [each.acceptance for each in usages[:1]]
    said += [each.acceptance for each in usages[1:] if not each.acceptance.is_outer]
    for kind in ("refuses", "unclear", "accepts"):
        if found := next((each for each in said if each.kind == kind), None):
            return found
    outer = (each.acceptance for each in usages[1:])
    name = next((each.name for each in outer if each.kind in {"refuses", "unclear"}), "")
    return Acceptance("unclear", name, is_outer=True) if name else Acceptance()


def words(name: str) -> tuple[str, ...]:
    """Return the words of an identifier, in lower case, without digits.

    For example, ``allowedSHA256Pins`` has the words ``allowed``, ``sha`` and ``pins``. Only the
    first 100 characters of the identifier are used.
    """
    return _words(name[:MAX_NAME])


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def affirmed_words(name: str) -> tuple[str, ...]:
    """Return the words of a name, except those after a negation: not ``debug`` in ``noDebug``."""
    parts = words(name)
    return parts[:1] + tuple(word for before, word in pairwise(parts) if before not in _NEGATIONS)


def flavour_of(name: str) -> str:
    """Return the first word of a name that means a build not for the app store, such as ``dev``.

    Return an empty string if the name has no such word, or negates it, as ``nonDev``.
    """
    return next((word for word in affirmed_words(name) if word in _DEVELOPMENT), "")


def flavour_of_pins(name: str) -> str:
    """Return the flavour in a name that is one word (``dev``) or is about pins (``devPins``).

    A flavour is a variant of the app. Return an empty string for other names: ``testConnection``
    names no flavour.
    """
    parts = words(name)
    return flavour_of(name) if len(parts) == 1 or PIN_WORDS & set(parts) else ""


def acceptance(name: str, *, contains: bool) -> AcceptanceKind:
    """Return whether a name says that the app accepts or refuses the keys in it.

    Args:
        name: the name of a variable, parameter, function, class or file.
        contains: True if the keys are the value of the name, as of a variable. False for a
            function, a class or a file: its code possibly only uses the keys.

    Returns:
        "accepts" or "refuses". "unclear" for names such as ``untrustedCertificateHandler``: such a
        function can refuse the server's certificate, but compare it with accepted pins. Empty if
        the name isn't about keys, as the function ``isBlocked``.
    """
    parts = words(name)
    if not _is_refusing(name):
        return "accepts" if (_KEY_NOUNS | _CERTIFICATES | _ACCEPTED) & set(parts) else ""
    nouns = _CERTIFICATES | _CERTIFICATE if contains else _CERTIFICATES
    is_list = len(parts) == 1 or "".join(parts) in _REFUSED or parts[-1] == "list"
    if is_list or _KEY_NOUNS & set(parts) or parts[-1] in nouns:
        return "refuses"
    return "unclear" if contains or PIN_WORDS & set(parts) else ""


def _is_refusing(name: str) -> bool:
    parts = affirmed_words(name)
    return bool(_REFUSED & {*parts, *map("".join, pairwise(parts))})


def is_production(name: str) -> bool:
    """Return True if a name contains a word for the app store's build, such as ``prod``.

    Return False if another word negates it, as in ``nonProd``.
    """
    parts = set(words(name))
    return bool(_PRODUCTION & parts) and not _BEFORE_PRODUCTION & parts
