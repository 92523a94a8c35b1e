"""The host policies that certpin makes from an app's source, before it writes them to a pin file.

The roles of the pins are guesses, unless the verified chain of a server contains some of the pins:
the chain then shows their roles, and all other pins count as backups. The module also makes the
questions for the user that the source can't answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from certpin.apps.model import Unknown
from certpin.errors import ConfigError, FormatError
from certpin.formats.parsed import imported_state
from certpin.pins import HostPin, HostPolicy, PinSet, TrustAnchors, pins_of
from certpin.pins.verdict import kind_mistake
from certpin.support.text import printable
from certpin.x509 import is_self_signed, name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from certpin.apps.model import Dropped
    from certpin.pins import HostPattern, HostServer, Match, Mode, Pin, Role
    from certpin.x509 import Certificate, Chain

_MAX_PLACES = 4  # in a note
MAX_LISTED = 20  # hosts or places in an error
# An app pins a handful of keys for each host.
MAX_PINS = 500


@dataclass
class DraftPin:
    """A pin of one host, found in an app's source.

    Attributes:
        pin: the pin.
        places: the places in the source, such as ``lib/api.dart:12 allowedFingerprints``, safe to
            print.
        role: the role for the pin file: ``leaf``, ``backup``, ``intermediate`` or ``root``.
        presented: True if the server's chain has the key or certificate, False if not; None if no
            verified chain of a server was compared.
        key: the pin of the certificate's key, if ``pin`` is a whole-certificate pin and a server
            presents the certificate; else None.
        replaces: the whole-certificate pin that this pin of a key has replaced; None if it replaced
            no pin.
        key_type: the type of the key, such as ``EC P-256``; empty if unknown, as for a digest.
        mistake: a phrase about the mistake if the digest is in a server's chain, but not as a pin
            of this kind (``kind_mistake``); else empty.
    """

    pin: Pin
    places: dict[str, None]
    role: Role = "leaf"
    presented: bool | None = None
    key: Pin | None = None
    replaces: Pin | None = None
    key_type: str = ""
    mistake: str = ""

    @property
    def note(self) -> str:
        """The note for the pin file: the places in the source where the pin was found."""
        more = len(self.places) - _MAX_PLACES
        text = "; ".join(islice(self.places, _MAX_PLACES)) + (
            f"; and {more} more" if more > 0 else ""
        )
        if self.replaces:
            text += f" (key of the certificate {self.replaces.digest.hex(':').upper()})"
        return text

    def entry(self) -> HostPin:
        """Return the pin with its role, state and note, as an entry of the pin file."""
        return HostPin(self.pin, self.role, imported_state(self.role), self.note)


@dataclass
class DraftHost:
    """The pins and trust anchors of one host, found in an app's source.

    Attributes:
        pattern: the host name or wildcard.
        pins: the pins, in the order in which they were found.
        anchors: the certificates of trusted authorities, and the place of each in the source.
        servers: the servers, each with its port. Empty if all servers have the port 443.
        leaf_only: True if only the leaf can match, because a pin is from Dart code. ``dart:io``
            shows an app only the certificate of the server. So the pin of an authority never
            matched in the app, and must not begin to match.
    """

    pattern: HostPattern
    pins: dict[Pin, DraftPin] = field(default_factory=dict)
    anchors: dict[Certificate, str] = field(default_factory=dict)  # and the place of each
    servers: dict[HostServer, None] = field(default_factory=dict)
    leaf_only: bool = False

    @property
    def match(self) -> Match:
        """The setting ``match`` of the pin file: ``leaf`` if ``leaf_only`` is True, else ``any``.

        The setting names the certificates of a chain that clients compare with the pins.
        """
        return "leaf" if self.leaf_only else "any"

    @property
    def matched(self) -> bool:
        """True if a server's verified chain contains a pin of this host that the policy can match.

        If ``leaf_only`` is True, only the pin of the leaf can match. The value is False, too, as
        long as no server's chain was compared. If it is False after a comparison, no pin of the
        policy fits the server.
        """
        return any(pin.presented and not self.never_matches(pin) for pin in self.pins.values())

    def never_matches(self, pin: DraftPin) -> bool:
        """Return True if a pin is in a server's chain, but the policy doesn't compare it.

        This is so if the policy compares only the leaf (``leaf_only``), and the pin is that of an
        authority. The user is then asked which key of the server replaces it.
        """
        return bool(pin.presented) and self.leaf_only and pin.role != "leaf"

    def add(self, pin: Pin, place: str, role: Role | None = None, *, key_type: str = "") -> None:
        """Add a pin to the host. If the host has the pin already, add the place to it.

        Args:
            pin: the pin.
            place: the file, line and name in the source, for the note.
            role: the role of the pin; None to guess: the first pin of the host is that of the leaf,
                others are backups.
            key_type: the type of the pinned key, such as ``EC P-256``; empty if unknown.

        Raises:
            ConfigError: the host has too many pins.
        """
        if pin not in self.pins:
            _refuse_more_pins(self)
            self.pins[pin] = DraftPin(pin, {}, role or ("backup" if self.pins else "leaf"))
        self.pins[pin].places[place] = None
        self.pins[pin].key_type = key_type or self.pins[pin].key_type

    def policy(self, mode: Mode) -> HostPolicy:
        """Return the host's policy for the pin file. Raises ``ConfigError`` if it is unsafe.

        ``mode`` is the mode of the policy. An enforced host with one pin is unsafe, for example.
        """
        trust = TrustAnchors(tuple(each.der for each in self.anchors)) if self.anchors else None
        return HostPolicy(
            self.pattern,
            tuple(each.entry() for each in self.pins.values()),
            mode=mode,
            match=self.match,
            trust=trust,
            servers=tuple(self.servers),
        )

    def compare(self, chain: Chain) -> None:
        """Record which pins are in a server's verified chain, and set the roles of all pins.

        A pin in the chain of any compared server gets the role of its certificate there; all other
        pins become backups. But if no chain contains any of the pins, all keep the roles that were
        guessed from the code.
        """
        for draft in self.pins.values():
            draft.presented = bool(draft.presented)
            draft.mistake = draft.mistake or kind_mistake(draft.pin, chain.certificates) or ""
            for index, certificate in enumerate(chain.certificates):
                if draft.pin in pins_of(certificate):
                    draft.presented = True
                    draft.key_type = certificate.key
                    draft.role = _role(index, certificate)
                    whole = draft.pin.kind == "cert-sha256"
                    draft.key = pins_of(certificate)[0] if whole else None
        if any(draft.presented for draft in self.pins.values()):
            for draft in self.pins.values():
                draft.role = draft.role if draft.presented else "backup"

    def pin_keys(self) -> None:
        """Replace the pins of whole certificates by pins of their keys.

        Only pins that ``compare`` found in a server's chain are replaced: the key of the others is
        unknown.
        """
        pins = list(self.pins.values())
        self.pins = {}
        for draft in pins:
            if draft.key is None:
                kept = draft
            else:
                kept = replace(draft, pin=draft.key, key=None, replaces=draft.pin)
            if kept.pin in self.pins:
                self.pins[kept.pin].places |= kept.places
            else:
                self.pins[kept.pin] = kept


@dataclass
class Draft:
    """The host policies that certpin made from an app's source, before they become a pin file.

    Attributes:
        hosts: the hosts, by their patterns.
        dropped: the parts of the source that were not imported.
        unknown: the questions for the user that the source can't answer.
        other_builds: True if ``dropped`` contains pins or certificates that no build for the app
            store uses.
        unclear: those of the questions in ``unknown`` that ask if the app accepts or refuses a key.
    """

    hosts: dict[str, DraftHost]
    dropped: list[Dropped]
    unknown: list[Unknown]
    other_builds: bool = False
    unclear: list[Unknown] = field(default_factory=list)

    def pin_set(self, name: str, mode: Mode) -> PinSet:
        """Return the policies as a pin set of version 1.

        Args:
            name: the name of the pin set; if empty, the name of the first host is used.
            mode: the mode of every host. Only ``report`` accepts a host with a single pin.

        Raises:
            ConfigError: a policy is unsafe, for example because of a single pin.
            FormatError: there is no pin and no certificate for a release of the app.
        """
        if not self.hosts and self.unclear:
            raise _unclear(self.unclear[0])
        if not self.hosts:
            raise _no_pins(other_builds=self.other_builds)
        if mode == "enforce" and (short := [h for h in self.hosts.values() if len(h.pins) < 2]):
            raise _too_few(short)
        policies = tuple(host.policy(mode) for host in self.hosts.values())
        return PinSet(name or policies[0].pattern.name, 1, policies)

    def questions(
        self, compared: Collection[str], contacted: Collection[str] = ()
    ) -> list[Unknown]:
        """Return the questions for the user: those that neither the source nor the servers answer.

        Args:
            compared: the hosts, as patterns, for which a server's verified chain was compared with
                the pins.
            contacted: the hosts, as patterns, whose servers were contacted (``--live``), whether
                this gave a verified chain or not.
        """
        return [
            *self.unknown,
            *(each for host in self.hosts.values() for each in _open(host, compared, contacted)),
        ]


def _role(index: int, certificate: Certificate) -> Role:
    if index == 0:
        return "leaf"
    return "root" if is_self_signed(certificate) else "intermediate"


def _no_pins(*, other_builds: bool) -> FormatError:
    fix = (
        "pin the server's key: certpin add HOST --backup-key HOST.key; --check only reports the "
        "mistakes"
    )
    if not other_builds:
        return FormatError("no pin and no certificate was found in these files", fix=fix)
    return FormatError(
        "only pins and certificates of other builds than those of the app store were found in "
        "these files",
        fix=f"write them by hand into the pin file of their build; for the store, {fix}",
    )


def _unclear(asked: Unknown) -> FormatError:
    place = f"{printable(str(asked.place))}: " if asked.place else ""
    return FormatError(
        f"no pin and no certificate was imported. {place}{asked.question}",
        fix="write the keys that the app accepts into the pin file by hand",
    )


def _too_few(hosts: list[DraftHost]) -> ConfigError:
    names = ", ".join(str(host.pattern) for host in hosts[:MAX_LISTED])
    places = "; ".join(pin.note for host in hosts[:MAX_LISTED] for pin in host.pins.values())
    fix = "import it with --mode report, which accepts one pin"
    # A wildcard has no server from which `certpin add` could read the key.
    if exact := [host.pattern for host in hosts if not host.pattern.wildcard]:
        fix += (
            "; or begin with the key that the server has now, and a backup: certpin add "
            f"{exact[0]} --backup-key {exact[0].name}.key, and then leave out that file, or import "
            "into another one with --file"
        )
    return ConfigError(
        f'{names}: there is only one pin ({places}), and mode = "enforce" needs two: if its key is '
        "lost or replaced, every client is locked out",
        key="pin",
        fix=fix,
    )


def _refuse_more_pins(host: DraftHost) -> None:
    if len(host.pins) >= MAX_PINS:
        raise ConfigError(
            f"{host.pattern} has more than {MAX_PINS} pins",
            key="pin",
            fix="name only the files with the pins of this app",
        )


def _open(
    host: DraftHost, compared: Collection[str], contacted: Collection[str]
) -> Iterator[Unknown]:
    """Yield the open questions about a host, for the user. See ``Draft.questions``.

    Args:
        host: the host.
        compared: the hosts for which a server's verified chain was compared with the pins.
        contacted: the hosts with servers that were contacted (``--live``).
    """
    name = str(host.pattern)
    known = name in compared
    presented = [pin for pin in host.pins.values() if pin.presented]
    if not known:
        why = "No chain was compared" if name in contacted else "--live compares them"
        yield Unknown(f"{name}: are the pins those of the server? {why}")
    if len(host.pins) > 1 and not presented:
        yield Unknown(f"{name}: which pin is the backup? The roles in the pin file are guesses")
    if known:
        yield from _open_compared(host)
    yield from _open_key_types(host)
    whole = [pin for pin in host.pins.values() if pin.pin.kind == "cert-sha256"]
    if any(not pin.presented for pin in whole):
        yield Unknown(f"{name}: when do the pinned certificates expire? A fingerprint has no date")
    for certificate, where in host.anchors.items():
        yield Unknown(
            f"{name}: does the app trust only {name_of(certificate)} ({where})? The pin file does"
        )
    yield Unknown(f"{name}: until when may clients use these pins? Write it as expires")


def _open_compared(host: DraftHost) -> Iterator[Unknown]:
    """Yield a question for the user for each pin that the server's chain doesn't explain.

    The chain of a server of ``host`` was compared with the pins before.
    """
    for pin in host.pins.values():
        if pin.mistake:
            yield Unknown(f"{host.pattern}: which of the two does the app compare? {pin.mistake}")
        elif not pin.presented:
            yield Unknown(
                f"{host.pattern}: {pin.pin} is not presented by the server. Is it a backup, and do "
                "you have its key, or is it that of an old certificate?"
            )
        elif host.never_matches(pin):
            yield Unknown(
                f"{host.pattern}: {pin.pin} is that of the {pin.role} certificate, and never "
                "matches: dart:io shows an app only the server's own certificate. Which key of the "
                "server replaces it? certpin pin prints the keys"
            )


def _open_key_types(host: DraftHost) -> Iterator[Unknown]:
    """Yield a question for the user if the key types of the host's backup pins are unknown.

    A public authority signs keys of some types only, so that a backup key of another type would
    get no certificate. The type is unknown if the source contains only the digest of the key. No
    question is needed for a host with its own trust anchors: a private authority can sign a key of
    any type.
    """
    open_pins = [
        str(pin.pin) for pin in host.pins.values() if pin.role == "backup" and not pin.key_type
    ]
    if open_pins and not host.anchors:
        yield Unknown(
            f"{host.pattern}: of which type are the keys of its backups "
            f"({', '.join(open_pins[:MAX_LISTED])})? Public authorities certify RSA, P-256 and "
            "P-384, and neither Ed25519 nor P-521"
        )
