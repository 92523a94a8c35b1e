"""Whether the SDKs would accept a list, entry by entry; and if not, what went wrong.

1. The list is one that a parser reads one way (``listing``).
2. Each name, fingerprint and date is as the SDKs want it (``rules``).
3. Each entry is signed: NAME & FINGERPRINT & EXPIRES, P-256 with SHA-256, as DER (``texts``). None
   has to be in the body of an answer that was verified as a whole.
4. What does not hold is compared with the known mistakes (``mistakes``), and the key that made
   several of them is told (``other_key``).
5. A certificate that was given is one that an app would accept by this list.

Not checked: whether a server presents these certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.updates.wultra import rules
from certpin.updates.wultra.finding import Finding
from certpin.updates.wultra.keys import for_sdk
from certpin.updates.wultra.listing import decoded, read_list
from certpin.updates.wultra.mistakes import SIGN_ANEW, explain, verifies
from certpin.updates.wultra.other_key import other_key
from certpin.updates.wultra.texts import answer_text, entry_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from certpin.updates.wultra.listing import Entry, Listing

# Entries whose mistakes are searched for, at a fraction of a second each: who made the first one
# made them all.
_EXPLAINED = 8


@dataclass(frozen=True)
class Answer:
    """What stood in the headers of a request, and of its answer."""

    challenge: str
    signature: str


@dataclass(frozen=True)
class CheckedEntry:
    """An entry, and all that is wrong with it."""

    entry: Entry
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Checked:
    """A list, with what is wrong with it as a whole, and with each of its entries."""

    listing: Listing
    findings: tuple[Finding, ...]
    entries: tuple[CheckedEntry, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings and not any(each.findings for each in self.entries)


def check_list(
    data: bytes, key: EllipticCurvePublicKey, now: datetime, answer: Answer | None = None
) -> Checked:
    """Check a list, or the body of an answer. Raises ``FormatError`` where it is neither."""
    listing = read_list(data)
    whole = [] if answer is None else list(_of_answer(answer, data, key))
    answered = answer is not None and not whole
    entries = tuple(_checked(listing, key, now, answered=answered))
    whole += [*rules.of_listing(listing, answered=answered), *_of_other_key(entries)]
    return Checked(listing, tuple(whole), entries)


def _checked(
    listing: Listing, key: EllipticCurvePublicKey, now: datetime, *, answered: bool
) -> Iterator[CheckedEntry]:
    twins = rules.twins(listing)
    searched = 0
    for entry in listing.entries:
        findings = list(rules.of_entry(entry, now))
        if (entry.name, entry.fingerprint) in twins:
            findings.append(_TWIN)
        if not (answered and entry.signature is None):
            wrong = _of_signature(entry, key, listing, search=searched < _EXPLAINED)
            searched += bool(wrong)
            findings += wrong
        yield CheckedEntry(entry, tuple(dict.fromkeys(findings)))


def _of_signature(
    entry: Entry, key: EllipticCurvePublicKey, listing: Listing, *, search: bool
) -> list[Finding]:
    if entry.signature is None:
        return [_UNSIGNED]
    signature = decoded(entry.signature)
    if signature is None:
        return [Finding("signature", "the signature is not base64", SIGN_ANEW)]
    if _holds(entry, signature, key):
        return []
    if not search:
        return [_UNEXPLAINED]
    others = (each for each in listing.entries if _holds(each, signature, key))
    if other := next(others, None):
        problem = f"the signature is that of another entry: {other.place}, {other.name[:80]}"
        return [Finding("other-entry", problem, "put each signature beside its own entry")]
    return list(explain(entry, signature, key)) or [_UNEXPLAINED]


def _of_other_key(entries: tuple[CheckedEntry, ...]) -> Iterator[Finding]:
    """Whether those that nothing else explains have a key of their own."""
    strays = [each.entry for each in entries if _UNEXPLAINED in each.findings]
    found = other_key([(_text(entry), decoded(entry.signature or "") or b"") for entry in strays])
    if found:
        yield Finding(
            "other-key",
            f"entries are signed as they should be, by another key: {for_sdk(found)}",
            "if it is yours, the app or you have the wrong one; if not, somebody else signed this "
            "list: do not publish it, and put that key nowhere",
        )


def _text(entry: Entry) -> bytes:
    return entry_text(entry.name, entry.fingerprint, entry.expires)


def _holds(entry: Entry, signature: bytes, key: EllipticCurvePublicKey) -> bool:
    return verifies(key, signature, _text(entry))


def _of_answer(answer: Answer, body: bytes, key: EllipticCurvePublicKey) -> Iterator[Finding]:
    """Raises ``FormatError`` where the challenge is none."""
    signature = decoded(answer.signature)
    if signature is None or not verifies(key, signature, answer_text(answer.challenge, body)):
        yield Finding(
            "answer",
            "the answer is not signed by this key, for this challenge",
            "give challenge and body byte by byte as they were sent: CHALLENGE & BODY is signed. "
            "Does something between server and client change the body?",
        )


_TWIN = Finding("duplicate", "it stands in the list more than once", "leave the others out")
_UNSIGNED = Finding(
    "unsigned",
    "it is not signed: an app that is not in the challenge mode takes nothing of the list",
    "sign it: certpin publish wultra. For the body of an answer, give --challenge and --signature",
)
_UNEXPLAINED = Finding(
    "signature",
    "the signature is not one of this entry by this key, and no known mistake made it",
    "is this the public key of the key that signed? If so, somebody changed the entry: "
    + SIGN_ANEW,
)
