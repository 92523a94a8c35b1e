"""Decide which strings in source code are pins, for every programming language.

A digest of 32 bytes can be anything: a pin, the hash of a file, a key. The decision follows from
its spelling (``sha256/…``), from the call that receives it, and from the names around it. Nothing
is guessed: digests without such a sign are listed as questions.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.apps.builds import DEBUG_BUILDS, builds_of_flavours
from certpin.apps.model import FoundCertificate, FoundPin, Place, Unknown
from certpin.apps.usage import MAX_NAME, UsageSigns, acceptance_of_usages, flavour_of_usages
from certpin.errors import InputError
from certpin.pins import HostPattern, Pin
from certpin.pins.hosts import join_address
from certpin.pins.policy import DIGEST_BYTES
from certpin.support.text import printable
from certpin.x509.certificate import read_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.apps.model import FileFindings
    from certpin.apps.usage import Acceptance, Usage

MAX_TEXT = 64 * 1024  # characters of one text; a list of all pins of an app has a few hundred
_MAX_QUESTIONS = 20  # of one file: a file of test vectors has thousands of digests
_MAX_SHOWN = 60  # characters
_MAX_NEARBY = 3  # hosts that a question names
_MAX_PORT = 65535
_MAX_HOST = 300  # characters: more than a host name can have (RFC 1035), and a port


@dataclass(frozen=True)
class Literal:
    """A constant string in the code of an app.

    Attributes:
        text: the content of the string.
        line: the line of the string, from 1.
        usages: how the code uses the string: first at its place, then through the constants that
            contain it.
        is_debug: True if only debug builds use the string.
    """

    text: str
    line: int
    usages: tuple[Usage, ...]
    is_debug: bool = False

    @property
    def acceptance(self) -> Acceptance:
        """Whether the app accepts or refuses the key that the string pins; safe to print."""
        found = acceptance_of_usages(self.usages)
        return replace(found, name=printable(found.name[:MAX_NAME]))

    @property
    def name(self) -> str:
        """The first name that the code gives to the string, safe to print; empty without a name."""
        name = next((name for usage in self.usages for name in usage.names), "")
        return printable(name[:MAX_NAME])


_HEX = re.compile(r"[0-9A-Fa-f]+")
_PAIRS = re.compile(r"[0-9A-Fa-f]{2}([: -])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2})*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")
_PREFIXED = re.compile(
    r"""sha256//?[A-Za-z0-9+/=_-]+|pin-sha256\s*=\s*"[^"\s]*"|pin-sha256\s*=\s*[^"\s;]+"""
)
_PREFIX = re.compile(r"""sha256//?|pin-sha256\s*=\s*"?""", re.IGNORECASE)
_OPENSSL = re.compile(r"sha-?256(?: fingerprint)?\s*[=:/]\s*(?=[0-9a-f]{2})", re.IGNORECASE)
_SHA1_PREFIX = re.compile(r"sha-?1(?: fingerprint)?\s*[=:/]", re.IGNORECASE)
_SEPARATOR = re.compile(r"[;,|\n]")
_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\s*[A-Za-z0-9+/]{32}[^-]*+(-----END CERTIFICATE-----)?"
)
_PLACEHOLDER = re.compile(
    r"[<\[{$]*[A-Za-z0-9 _.:/-]*(?:YOUR|your|FINGERPRINT|PLACEHOLDER|REPLACE|CHANGE_?ME|TODO|XXXX|"
    r"XX:XX|_PIN|PIN_|SHA256|HASH|EXAMPLE)[A-Za-z0-9 _.:/-]*[>\]}]*(?:=|\.\.\.|…)?"
)
_MAX_PLACEHOLDER = 200  # characters
_ALGORITHMS = {16: "MD5", 20: "SHA-1", 28: "SHA-224", 48: "SHA-384", 64: "SHA-512"}
_MD5_BYTES, _SHA1_BYTES = 16, 20

_URL = re.compile(
    r"(?:https|wss)://(?:[^/@\s?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/:\s?#\"'<>]+)(:\d{1,5})?"
)
_HOST = re.compile(r"(?:\*\*?\.)?[A-Za-z0-9.-]+(?::\d{1,5})?")
# A file name has the form of a host name too.
_FILE = re.compile(r".*\.(?:cer|crt|css|dart|der|html?|jpe?g|js|json|key|p12|pem|png|svg|txt|xml)")

# A part of a digest in a file in lower case: 16 digits, three pairs, or the end of base64.
_DIGEST = re.compile(rb"[0-9a-f]{16}")
_PAIR = re.compile(
    rb"""(?<=[0-9a-f]{2})[:-][0-9a-f]{2}[:-]|["'][0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2} """
)
_BASE64_END = re.compile(rb"""(?<=[a-z0-9+/]{8})=["']""")
_NAMES = (b"fingerprint", b"thumbprint", b"sha256", b"spki", b"pinning", b"pins", b"-----begin")


def may_have_pins(lower: bytes) -> bool:
    """Return True if a source file possibly contains pins. The file is searched, not parsed.

    Args:
        lower: the content of the file in lower case.
    """
    if any(name in lower for name in _NAMES) or _DIGEST.search(lower):
        return True
    return bool(_BASE64_END.search(lower) or _PAIR.search(lower))


def host_in(text: str) -> str:
    """Return the host or host pattern that a string consists of; empty for any other string.

    The string is an ``https`` or ``wss`` URL, or a name with a dot (``api.bank.example``) that
    isn't the name of a file.
    """
    if "://" in text:
        return host_of_url(text)
    name, colon, port = text.partition(":")
    if "." not in name or not _HOST.fullmatch(text) or _FILE.fullmatch(name.lower()):
        return ""
    return _pattern(name, colon + port)


def host_of_url(text: str) -> str:
    """Return the host of an ``https`` or ``wss`` URL at the start of a text, or an empty string."""
    match = _URL.match(text)
    return _pattern(match[1], match[2] or "") if match else ""


def identifies_certificate(text: str) -> bool:
    """Return True if a string is a SHA-256 or SHA-1 digest, or contains a certificate in PEM.

    The digest is in hexadecimal or base64. Code that compares a certificate with such a string
    checks a pin, even if certpin can't import the pin.
    """
    if len(text) > MAX_TEXT or _PEM_BEGIN in text:
        return _PEM_BEGIN in text
    if any(pin is not None for _, pin in _pins_with_prefix(text)):
        return True
    bare = _OPENSSL.sub("", text.strip(), count=1)
    if _is_hexadecimal(bare):
        return len(re.sub(r"[: -]", "", bare)) / 2 in {_SHA1_BYTES, DIGEST_BYTES}
    return _BASE64.fullmatch(bare) is not None


@dataclass
class LiteralReader:
    """Collects the pins and certificates in the strings of one source file.

    Call ``read`` for each string, then ``finish``.

    Attributes:
        path: the path of the file.
        findings: the results of the file, to which pins, certificates and open questions for the
            user (``Unknown``) are added.
        hashing_line: the line in which the file hashes a whole certificate; 0 if it doesn't. If it
            does, base64 without a prefix is the fingerprint of a certificate, not the pin of a key.
    """

    path: str
    findings: FileFindings
    hashing_line: int = 0
    _undecided: list[tuple[bytes, Unknown]] = field(default_factory=list)
    _asked: dict[Unknown, None] = field(default_factory=dict)
    _seen: set[tuple[Pin, int, tuple[str, ...], Acceptance]] = field(default_factory=set)

    def read(self, literal: Literal) -> None:
        """Add the pins, certificates and questions of one constant string to the results.

        ``literal`` is the string, with the ways in which the code uses it.
        """
        if _PEM_BEGIN in literal.text:
            self._read_certificates(literal)
        elif len(literal.text) > MAX_TEXT:
            return
        elif found := list(_pins_with_prefix(literal.text)):
            for spelling, pin in found:
                self._add_prefixed(literal, spelling, pin)
        else:
            signs = UsageSigns(literal.usages)
            for part in _SEPARATOR.split(literal.text):
                self._read_digest(literal, signs, part.strip())

    def finish(self) -> None:
        """Add the collected questions for the user to the results. Call it after the last string.

        Questions about a digest are left out if another string showed that it is a pin. If there
        are very many questions, the last one has only the number of the others.
        """
        known = {found.pin.digest for found in self.findings.pins}
        undecided = [question for digest, question in self._undecided if digest not in known]
        for questions in (list(self._asked), undecided):
            self.findings.unknown += questions[:_MAX_QUESTIONS]
            if more := questions[_MAX_QUESTIONS:]:
                question = f"{len(more)} more such texts follow in this file: are they pins?"
                self.findings.unknown.append(Unknown(question, more[0].place))

    def ask_element(self, expression: str, line: int) -> None:
        """Ask the user for the value of an expression that is an element of a list of pins.

        ``expression`` is its source text, and ``line`` its line. The value isn't known without
        running the app.
        """
        shown = _shown(" ".join(expression.split()))
        question = (
            f"which pin is {shown} in this list of pins? Its value isn't in this file, so it was "
            "not imported for the host of the list"
        )
        self._asked[Unknown(question, Place(self.path, line))] = None

    def _ask(self, literal: Literal, question: str) -> None:
        self._asked[Unknown(question, self._place(literal))] = None

    def _place(self, literal: Literal) -> Place:
        return Place(self.path, literal.line)

    def _read_certificates(self, literal: Literal) -> None:
        for block in _PEM.finditer(literal.text):
            try:
                certificates = read_certificates(block[0].encode("ascii", "replace"))
            except InputError as exc:
                self._ask(literal, f"a PEM certificate can't be read: {printable(exc.problem)}")
                continue
            flavours = filter(None, [flavour_of_usages(literal.usages)])
            builds = DEBUG_BUILDS if literal.is_debug else builds_of_flavours(*flavours)
            self.findings.certificates += [
                FoundCertificate(
                    each, self._place(literal), builds, literal.acceptance, literal.name
                )
                for each in certificates
            ]

    def _add_prefixed(self, literal: Literal, spelling: str, pin: Pin | None) -> None:
        if pin is None:
            problem = "is spelled as a pin, but isn't a SHA-256 in base64: it was not read"
            self._ask(literal, f"{_shown(spelling)} {problem}")
            return
        self._add(literal, pin)
        if pin.kind == "sha256":
            self._ask_if_hashing(literal, spelling)

    def _ask_if_hashing(self, literal: Literal, spelling: str) -> None:
        """Ask the user about the pin of a key, if the file hashes whole certificates.

        ``literal`` is the string with the pin, and ``spelling`` the text of the pin in it. Such
        code compares certificates, so the pin is possibly that of a certificate.
        """
        if self.hashing_line:
            self._ask(
                literal,
                f"{_shown(spelling)} is spelled as the pin of a key, but line {self.hashing_line} "
                "hashes the whole certificate: compare it with the server (--live)",
            )

    def _add(self, literal: Literal, pin: Pin) -> None:
        """Add a pin to the results, or a question for the user if the pin must not be imported.

        A pin is not imported if it is an example, or belongs to a flavour: a variant of the app,
        such as development or staging. ``literal`` is the string that contains the pin.
        """
        if pin.is_placeholder:
            self._ask(literal, f"{_shown(literal.text)} is the pin of an example: it was not read")
            return
        flavour = "" if literal.is_debug else flavour_of_usages(literal.usages)
        if flavour:
            self._ask(
                literal,
                f"{_shown(literal.text)} is a pin of a flavour ('{printable(flavour)}'): it was "
                "not imported; write it by hand into the pin file of that flavour",
            )
            return
        hosts = tuple(dict.fromkeys(host for usage in literal.usages for host in usage.hosts))
        acceptance = literal.acceptance
        if not hosts and acceptance.kind not in {"refuses", "unclear"}:
            self._ask_host(literal)
        if (pin, literal.line, hosts, acceptance) in self._seen:
            return
        self._seen.add((pin, literal.line, hosts, acceptance))
        place = self._place(literal)
        builds = DEBUG_BUILDS if literal.is_debug else ""
        self.findings.pins.append(
            FoundPin(pin, place, literal.name, hosts, builds, acceptance=acceptance)
        )

    def _ask_host(self, literal: Literal) -> None:
        """Ask the user for the host of a pin that has none, if code near the pin seems to name it.

        Such a host can be wrong. So the import doesn't use it, and the user has to name the host.
        ``literal`` is the string that contains the pin.
        """
        expression = next((x.host_expression for x in literal.usages if x.host_expression), "")
        if expression:
            self._ask(
                literal,
                f"the host of {_shown(literal.text)} is the expression {printable(expression)}: "
                "name it with --host",
            )
            return
        nearby = dict.fromkeys(host for usage in literal.usages for host in usage.nearby)
        if nearby:
            names = ", ".join(list(nearby)[:_MAX_NEARBY])
            self._ask(
                literal,
                f"the code beside {_shown(literal.text)} names {names}: is that its host? The "
                "import doesn't use it: name the host with --host, or write the pin by hand",
            )

    def _read_digest(self, literal: Literal, signs: UsageSigns, part: str) -> None:
        if _SHA1_PREFIX.match(part):
            self._ask(literal, _sha1_problem(part))
            return
        key = _PREFIX.match(part)
        of_key = part[key.end() :].rstrip('"') if key else ""
        text = _OPENSSL.sub("", part, count=1)
        if key and _is_hexadecimal(of_key):
            self._read_hex(literal, signs, of_key, key[0])
        elif _is_hexadecimal(text):
            self._read_hex(literal, signs, text, part.removesuffix(text))
        elif _BASE64.fullmatch(text):
            self._read_base64(literal, signs, text)
        elif signs.is_pin and not signs.is_no_placeholder and _is_placeholder(text):
            self._ask(literal, f"{_shown(text)} is a placeholder: which pin belongs here?")

    def _read_hex(self, literal: Literal, signs: UsageSigns, text: str, prefix: str) -> None:
        """Add a hexadecimal digest to the results, as a pin or as a question for the user.

        A digest with the length of SHA-256 is a pin if the code around it shows that, or if the
        string itself names SHA-256 and no name shows another purpose. Otherwise it becomes a
        question. But it is ignored if all of these are true: a name shows another purpose, it has
        no separators, and the string doesn't name SHA-256.

        A digest of another length is never a pin. It becomes a question if something shows that it
        was meant as one, and is ignored otherwise.

        Args:
            literal: the string that contains the digest.
            signs: the purpose of the string, according to the code around it.
            text: the digest, perhaps with colons, spaces or hyphens.
            prefix: the part of the string before the digest that names SHA-256, such as
                ``sha256/`` or ``SHA256 Fingerprint=``; empty if there is none.
        """
        digits = re.sub(r"[: -]", "", text)
        is_open = len(digits) != len(text) or not signs.is_other
        size = len(digits) / 2
        if size == DIGEST_BYTES:
            is_pin = signs.is_pin or (bool(prefix) and not signs.is_other)
            is_open = is_open or bool(prefix)
            self._read_sha256(literal, signs, text, prefix, is_pin=is_pin, is_open=is_open)
        elif size in _ALGORITHMS and (signs.receiver or size != _MD5_BYTES):
            if signs.is_pin or (len(digits) != len(text) and is_open):
                self._ask(literal, _length_problem(text, size))
        elif signs.receiver:
            self._ask(literal, f"{_shown(text)} has {len(digits)} digits, and a SHA-256 has 64")

    def _read_sha256(
        self,
        literal: Literal,
        signs: UsageSigns,
        text: str,
        prefix: str,
        *,
        is_pin: bool,
        is_open: bool,
    ) -> None:
        """Add a SHA-256 digest to the results, as a pin or as a question for the user.

        Args:
            literal: the string that contains the digest.
            signs: the purpose of the string, according to the code around it. If a name says that
                the digest is that of the certificate that signs the app's package, the digest
                becomes a question in any case, unless a known call compares it with pins.
            text: the digest in hexadecimal.
            prefix: the text before the digest. ``sha256/`` is only written before the digest of a
                key (RFC 7469), whatever the spelling of the digest is.
            is_pin: True to add a pin.
            is_open: used if ``is_pin`` is False: True to ask the user if the digest is a pin, False
                to ignore the digest.
        """
        digest = bytes.fromhex(re.sub(r"[: -]", "", text))
        if signs.is_signing and not signs.receiver:
            self._ask(literal, _signing_problem(text))
        elif is_pin:
            is_key = bool(_PREFIX.match(prefix))
            kind = signs.receiver or ("sha256" if is_key or signs.names_key else "cert-sha256")
            self._add(literal, Pin(kind, digest))
            if is_key and kind == "sha256":
                self._ask_if_hashing(literal, text)
            elif not (
                signs.receiver or signs.names_key or self._is_certificate(signs, text, prefix)
            ):
                self._ask(literal, _kind_question(text))
        elif is_open:
            self._undecided.append((digest, self._question(literal, text)))

    def _is_certificate(self, signs: UsageSigns, text: str, prefix: str) -> bool:
        """Return True if a digest is probably the fingerprint of a certificate, not of a key.

        One of these shows it: the name of a variable or function around the digest mentions a
        certificate; code of the same file hashes a whole certificate; or the digest is written as
        openssl prints it, with "fingerprint" before it, or separators between the bytes. If nothing
        shows it, the caller may ask the user which of the two it is.

        Args:
            signs: the purpose of the string, according to the code around it.
            text: the digest in hexadecimal, perhaps with separators.
            prefix: the part of the string before the digest.
        """
        is_spelled = "fingerprint" in prefix.lower() or not _HEX.fullmatch(text)
        return is_spelled or signs.names_certificate or bool(self.hashing_line)

    def _read_base64(self, literal: Literal, signs: UsageSigns, text: str) -> None:
        digest = _decoded(text)
        if digest is None:
            return
        if signs.is_signing and not signs.receiver:
            self._ask(literal, _signing_problem(text))
        elif signs.is_pin:
            # No library with a receiver above takes base64 of a certificate.
            is_whole = self.hashing_line and not signs.names_key
            self._add(literal, Pin("cert-sha256" if is_whole else "sha256", digest))
        elif not signs.is_other:
            self._undecided.append((digest, self._question(literal, text)))

    def _question(self, literal: Literal, text: str) -> Unknown:
        named = f" in {_shown(literal.name)}" if literal.name else ""
        question = f"{_shown(text)}{named} has the length of a SHA-256: is it a pin?"
        return Unknown(question, self._place(literal))


def _pattern(text: str, port: str) -> str:
    """Return a host or host pattern in normalised form, with its port unless that is 443.

    Return an empty string if the host ``text`` is invalid. ``port`` is empty, or begins with a
    colon.
    """
    if len(text) > _MAX_HOST:
        return ""
    try:
        pattern = HostPattern.parse(text)
    except InputError:
        return ""
    if pattern.wildcard or not port or not 0 < int(port[1:]) <= _MAX_PORT or port == ":443":
        return str(pattern)
    return join_address(pattern.name, int(port[1:]))


def _pins_with_prefix(text: str) -> Iterator[tuple[str, Pin | None]]:
    """Yield each part of a string that is spelled as a pin (``sha256/…``), and the pin.

    ``text`` is the string. The pin is None if the part isn't a valid pin.
    """
    try:
        yield text.strip(), Pin.parse(text)
    except InputError:
        yield from _prefixed_parts(text)


def _prefixed_parts(text: str) -> Iterator[tuple[str, Pin | None]]:
    for match in _PREFIXED.finditer(text):
        spelling = match[0]
        bare = _PREFIX.sub("", spelling, count=1).rstrip('"')
        if not bare or _HEX.fullmatch(bare) or _is_placeholder(bare):
            continue
        try:
            yield spelling, Pin.parse(spelling)
        except InputError:
            yield spelling, None


def _is_hexadecimal(text: str) -> bool:
    return _PAIRS.fullmatch(text) is not None or _HEX.fullmatch(text) is not None


def _decoded(text: str) -> bytes | None:
    """Return the bytes that a base64 text encodes; None if the text isn't canonical base64.

    Canonical means the standard alphabet, padding, and no other characters or stray bits, so that
    each digest has only one spelling.
    """
    digest = binascii.a2b_base64(text)
    return digest if base64.b64encode(digest).decode() == text else None


def _is_placeholder(text: str) -> bool:
    is_short = len(text) <= _MAX_PLACEHOLDER and "://" not in text
    return is_short and _PLACEHOLDER.fullmatch(text) is not None


def _shown(text: str) -> str:
    """Return a string of the source file for a message: shortened, quoted, and safe to print."""
    text = printable(text.strip()[:_MAX_PLACEHOLDER])
    return f"'{text}'" if len(text) <= _MAX_SHOWN else f"'{text[: _MAX_SHOWN - 20]}…'"


def _sha1_problem(text: str) -> str:
    return f"{_shown(text)} is a SHA-1: read the SHA-256 of the key from the server (certpin pin)"


def _kind_question(text: str) -> str:
    return (
        f"{_shown(text)}: is it the fingerprint of a whole certificate, or the digest of a key? It "
        "was read as a fingerprint (--live compares it with both)"
    )


def _length_problem(text: str, size: float) -> str:
    if size == _SHA1_BYTES:
        return _sha1_problem(text)
    name = _ALGORITHMS[int(size)]
    return f"{_shown(text)} is a {name}, and certpin pins with SHA-256: it was not read"


def _signing_problem(text: str) -> str:
    return f"{_shown(text)} seems to be of the key that signs the app, not of a server"
