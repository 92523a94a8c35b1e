"""Export limitations on the pins of a policy, and on the certificates that they can match.

The method ``project_policy`` of each limitation returns the reduced policy, and a text that names
the settings that the export omits or changes. The text is empty if there are none.

A backup pin is treated as the pin of a server's key, unless all other pins are of authorities.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import PolicyLimitation
from certpin.pins import TrustAnchors, pins_of
from certpin.x509 import Certificate, name_of
from certpin.x509.keys import dart_can_use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import HostPin, HostPolicy


_MATCHES_LEAF = "can match a leaf"
_ABOVE = frozenset({"intermediate", "root"})


class KeysOnly(PolicyLimitation):
    """Export limitation: the platform compares only public keys, not whole certificates.

    The export omits the pins of whole certificates.
    """

    aspect = "pins"
    summary = "pins of whole certificates (`cert-sha256/…`): omitted"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without whole-certificate pins, and a text that names the omitted pins.

        Raises ``ConfigError`` if no pin would be left, or only one pin of an enforced policy.
        """
        kept = tuple(entry for entry in policy.pins if entry.pin.kind == "sha256")
        if not kept:
            raise ConfigError(
                "none of its pins is the pin of a key",
                key="pin",
                fix="pin the key: certpin pin HOST prints both",
            )
        lost = [str(entry.pin) for entry in policy.pins if entry not in kept]
        reduced = _with_pins(policy, kept, "is the pin of a key")
        return reduced, f"{', '.join(lost)} is left out" if lost else ""


class TwoPins(PolicyLimitation):
    """Export limitation: the platform requires two pins per host, also in report-only mode.

    The export of a policy with one pin raises ``ConfigError``.
    """

    aspect = "pins"
    summary = 'a single pin, which `mode = "report"` allows: refused'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and an empty text, because nothing is omitted.

        Raises ``ConfigError`` if the policy has only one pin that clients accept.
        """
        if len(policy.live_pins) < 2:
            raise ConfigError(
                "there is only one pin",
                key="pin",
                fix=_backup_fix(policy),
            )
        return policy, ""


class NoCompromised(PolicyLimitation):
    """Export limitation: the platform has a list of keys to accept, but no list of keys to refuse.

    The export omits the pins that are marked compromised. A format lists this limitation first, so
    that the limitations after it get no compromised pins.
    """

    aspect = "compromised"
    summary = "`compromised` keys: a path that contains one is accepted if another pin matches"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without its compromised pins, and a text that names the omitted pins.

        The platform can't refuse the keys of such pins.
        """
        if not policy.compromised:
            return policy, ""
        lost = ", ".join(sorted(map(str, policy.compromised)))
        kept = tuple(entry for entry in policy.pins if entry.state != "compromised")
        return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"


class NoCompromisedAnchors(PolicyLimitation):
    """Export limitation: the platform can refuse the compromised key of a server only.

    It can't refuse a chain because of the key of an authority. But it refuses chains that end at no
    trust anchor. So the export leaves out compromised trust anchors.
    """

    aspect = "compromised"
    summary = (
        "`trust`: the certificates of `compromised` keys are omitted, so that no chain ends there"
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without compromised trust anchors, and a text that names them.

        A report-only policy is returned unchanged, because clients accept its compromised keys.
        Raises ``ConfigError`` if each trust anchor is compromised.
        """
        if policy.trust is None or policy.mode == "report":
            return policy, ""
        anchors = _anchors(policy.trust)
        lost = [each for each in anchors if not policy.compromised.isdisjoint(pins_of(each))]
        if not lost:
            return policy, ""
        source = repr(policy.trust.source)
        left = tuple(each.der for each in anchors if each not in lost)
        if not left:
            raise ConfigError(
                f"each certificate in {source} is compromised, so clients refuse every chain",
                key="trust",
                fix="add the certificate of another authority to the file of `trust`",
            )
        trust = replace(policy.trust, der=left)
        names = ", ".join(map(name_of, lost))
        return replace(policy, trust=trust), f"{names} in {source} is compromised, and is left out"


class DartKeys(PolicyLimitation):
    """Export limitation: Dart's TLS library, BoringSSL, can't use each type of key.

    The export reports trust anchors with keys that it can't use, and raises ``ConfigError`` if no
    anchor is usable. Only the keys in ``trust`` are known: a pin is a digest, which doesn't show
    the type.
    """

    aspect = "trust"
    summary = (
        "`trust` with an authority of a key that BoringSSL can't use, such as RSA-PSS or Ed448: "
        "reported, or refused if there is no other; a server's key of P-521, Ed25519, Ed448 or "
        "RSA-PSS, which a pin doesn't show: every Dart client refuses the server"
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and a text that names the unusable trust anchors.

        Raises ``ConfigError`` if no trust anchor of the policy is usable.
        """
        anchors = _anchors(policy.trust)
        unusable = [
            f"{name_of(each)} ({each.key})"
            for each in anchors
            if not dart_can_use(each.key, signs=_is_no_server(each))
        ]
        if unusable and len(unusable) == len(anchors):
            raise ConfigError(
                f"no chain to {', '.join(unusable)} would be accepted",
                key="trust",
                fix="use an authority, or a self-signed server, with a key of the type P-256, "
                "P-384 or RSA",
            )
        return policy, f"every chain to {', '.join(unusable)} is refused" if unusable else ""


class AnywhereInChain(PolicyLimitation):
    """Export limitation: the platform compares the pins with every certificate of the chain.

    The export changes ``match`` of a policy to ``any``.
    """

    aspect = "match"
    summary = '`match = "leaf"` and `"ca"`: a pin may match anywhere in the chain'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with ``match = "any"``, and a text that names this change.

        On the platform, any certificate of the chain can match a pin. If ``match`` is ``any``
        already, the text is empty.
        """
        if policy.match == "any":
            return policy, ""
        return replace(policy, match="any"), f'match = "{policy.match}" becomes "any"'


class LeafOnly(PolicyLimitation):
    """Export limitation: the platform compares only the leaf certificate with the pins.

    The export omits the pins that no leaf can match.
    """

    aspect = "match"
    summary = "pins of authorities: only the leaf's key is compared"
    root_sets = "A root set can't work: only the leaf's key is compared, never the root's."

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with only the pins that a leaf can match, and a text naming the others.

        The policy is never ``None``. The text also reports a changed ``match``; it is empty if
        nothing was changed. Raises ``ConfigError`` if no pin would be left, or only one pin of an
        enforced policy.
        """
        policy, unseen = without_unseen(policy)
        if policy.match == "leaf":
            return policy, unseen
        kept = _for_leaves(policy)
        if policy.match == "ca" or not kept:
            raise ConfigError(
                "none of its pins can match a leaf",
                key="pin",
                fix="also pin the server's own key, or choose a platform that compares the chain",
            )
        words = "; ".join(filter(None, (_narrowed(policy, kept), unseen)))
        return replace(_with_pins(policy, kept, _MATCHES_LEAF), match="leaf"), words


class LeafOrAuthority(PolicyLimitation):
    """Export limitation: the platform has a pin list for leaves and one for authorities.

    If both are set, a chain has to match both.
    """

    aspect = "match"
    summary = '`match = "any"`: becomes `"leaf"` or `"ca"`, depending on the roles of the pins'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with ``match`` ``leaf`` or ``ca``, and a text that names the changes.

        The export then fills only one of the platform's two lists of pins. If the policy has pins
        that a leaf can match, ``match`` becomes ``leaf``, and the other pins are omitted; otherwise
        it becomes ``ca``. A policy with another ``match`` than ``any`` is returned unchanged.
        """
        if policy.match != "any":
            return policy, ""
        kept = _for_leaves(policy)
        if not kept:
            return replace(policy, match="ca"), 'match = "any" becomes "ca"'
        reduced = replace(_with_pins(policy, kept, _MATCHES_LEAF), match="leaf")
        return reduced, _narrowed(policy, kept)


def _with_pins(policy: HostPolicy, kept: tuple[HostPin, ...], reason: str) -> HostPolicy:
    """Return a copy of the policy with only the pins in ``kept``.

    Args:
        policy: the policy.
        kept: the pins that the platform can compare.
        reason: the common property of the kept pins, as a verb phrase for the error: "can match a
            leaf".

    Raises:
        ConfigError: the policy is enforced, and only one pin that clients accept is left.
    """
    live = [entry for entry in kept if entry.pin in policy.live_pins]
    if policy.mode == "enforce" and len(live) == 1:
        raise ConfigError(
            f"there is only one pin that {reason} ({live[0].pin}; the host has "
            f"{len(policy.live_pins)} pins): if its key is lost or replaced, every client is "
            "locked out",
            key="pin",
            fix=_backup_fix(policy),
        )
    return replace(policy, pins=kept)


def _backup_fix(policy: HostPolicy) -> str:
    host = shlex.quote(str(policy.pattern))
    return (
        f"add a backup: certpin rotate start --new backup.key --host {host}; "
        'or write another [[host.pin]] table, with role = "backup" and the pin of a key that is '
        "kept off the server (certpin pin FILE prints it)"
    )


def without_unseen(policy: HostPolicy) -> tuple[HostPolicy, str]:
    """Return the policy without the compromised pins of authorities, and a text that names them.

    A platform that compares only the leaf can't refuse a chain because of an authority's key. The
    text is empty if there are no such pins.
    """
    unseen = [entry for entry in _of_authorities(policy) if entry.state == "compromised"]
    if not unseen:
        return policy, ""
    lost = ", ".join(map(_labelled, unseen))
    kept = tuple(entry for entry in policy.pins if entry not in unseen)
    return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"


def _for_leaves(policy: HostPolicy) -> tuple[HostPin, ...]:
    """Return the pins of the policy that a leaf certificate can match: those of no authority.

    If all pins except the backups are of authorities, the backups count as pins of authorities too:
    the result is an empty tuple.
    """
    authorities = _of_authorities(policy)
    live = policy.live_pins.values()
    known = [entry for entry in live if entry.role != "backup" or entry in authorities]
    if known and all(entry in authorities for entry in known):
        return ()
    return tuple(entry for entry in policy.pins if entry not in authorities)


def _of_authorities(policy: HostPolicy) -> list[HostPin]:
    """Return those pins of a policy that are of authorities, by their role or their certificate.

    A pin also counts if the policy's setting ``trust`` has the certificate of an authority with it.
    The role alone doesn't decide, because its default is ``leaf``.
    """
    anchors = _anchors(policy.trust)
    known = {pin for each in anchors if _is_no_server(each) for pin in pins_of(each)}
    return [entry for entry in policy.pins if entry.role in _ABOVE or entry.pin in known]


@lru_cache(maxsize=4)  # the hosts of a pin file often have the same anchors, and up to 150 roots
def _anchors(trust: TrustAnchors | None) -> tuple[Certificate, ...]:
    return tuple(map(Certificate.from_der, trust.der)) if trust else ()


def _is_no_server(certificate: Certificate) -> bool:
    """Return True if a trust anchor is only an authority: it has no host names and IP addresses.

    Otherwise a server may use it as its own certificate, so its pin can match a leaf.
    basicConstraints don't decide this: the self-signed certificate of a server often may issue
    certificates (openssl req -x509).
    """
    return not (certificate.dns_names or certificate.addresses)


def _labelled(entry: HostPin) -> str:
    return f"{entry.pin} ({entry.role if entry.role in _ABOVE else 'an authority of trust'})"


def _narrowed(policy: HostPolicy, kept: tuple[HostPin, ...]) -> str:
    lost = [_labelled(entry) for entry in policy.pins if entry not in kept]
    left_out = f", and {', '.join(lost)} is left out" if lost else ""
    return f'match = "any" becomes "leaf"{left_out}'


class LeafOrAnchors(LeafOnly):
    """Export limitation: the platform compares only the leaf, but can replace the system's roots.

    The setting ``trust`` of a policy names its private trust anchors. If all of them are pinned,
    every chain that the platform verifies matches a pin. The export then sets only the anchors, and
    omits nothing.
    """

    summary = (
        "pins of authorities, unless `trust` contains exactly their certificates: "
        "only the leaf is compared"
    )
    root_sets = (
        "A root set works only if `trust` contains exactly the certificates of its roots, or "
        "`--ca-file` a bundle from which certpin takes them."
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with the pins that the platform can enforce, and a text on the others.

        If every trust anchor of the policy (``trust``) is pinned, all pins stay, except the
        compromised pins of authorities. Otherwise, only the pins that a leaf can match stay. Raises
        ``ConfigError`` if no pin would be left, or only one pin of an enforced policy.
        """
        if _anchors_are_pinned(policy):
            return without_unseen(policy)
        try:
            return super().project_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                exc.problem,
                key=exc.key,
                fix="also pin the server's own key and a backup, or set `trust` to a file "
                "with exactly the certificates of the pinned authorities, or name a bundle that "
                "contains them: --ca-file FILE",
            ) from exc


def lacks_anchors(policy: HostPolicy) -> bool:
    """Return True if a policy can match only authorities, and has no trust anchors (``trust``).

    This is so if it pins no server's key, or if ``match`` is ``ca``. A platform that can only
    compare leaves, or only verify chains, can enforce such a policy only if the user gives
    certificates of the authorities (``--ca-file``).
    """
    return policy.trust is None and (policy.match == "ca" or not _for_leaves(policy))


def with_anchors(
    policy: HostPolicy, certificates: Sequence[Certificate], source: str
) -> tuple[HostPolicy, str]:
    """Return the policy with the certificates of its pinned authorities as its trust anchors.

    The anchors are the ``certificates`` that have a pinned key. The policy is returned unchanged if
    it has anchors already, if it pins a server's key, or if no certificate has a pinned key. In the
    last case, a limitation of the platform refuses the policy later.

    Args:
        policy: the policy.
        certificates: the certificates of authorities. Only their keys are compared: neither their
            dates nor their signatures are checked.
        source: the name of the file with the certificates.

    Returns:
        The policy, and a clause that names the pins for which there is no certificate: the platform
        will refuse the chains with these pins. The clause is empty if there are none.
    """
    if not lacks_anchors(policy):
        return policy, ""
    found = [each for each in certificates if not policy.live_pins.keys().isdisjoint(pins_of(each))]
    if not found:
        return policy, ""
    anchors = TrustAnchors(tuple(dict.fromkeys(each.der for each in found)), source)
    known = {pin for each in found for pin in pins_of(each)}
    missing = [
        f"{pin} ({entry.note or entry.role})"
        for pin, entry in policy.live_pins.items()
        if pin not in known
    ]
    verb, whose = ("has", "its") if len(missing) == 1 else ("have", "their")
    lost = (
        f"{', '.join(missing)} {verb} no certificate in {source!r}, so {whose} chains are refused"
    )
    return replace(policy, trust=anchors), lost if missing else ""


def _anchors_are_pinned(policy: HostPolicy) -> bool:
    if policy.trust is None:
        return False
    anchors = map(pins_of, _anchors(policy.trust))
    return all(policy.live_pins.keys() & set(each) for each in anchors)


class AnchorsOnly(PolicyLimitation):
    """Export limitation: the platform supports no pins, but only trust anchors.

    The platform accepts every chain to the policy's anchors (``trust``). The exported file lists
    the pins only as comments. If every anchor is pinned, nothing is omitted.
    """

    aspect = "pins"
    summary = "pins: every chain to an anchor of `trust` is accepted; `trust` is required"
    root_sets = (
        "A root set works as `trust` with exactly the certificates of its roots, or with "
        "`--ca-file`, a bundle from which certpin takes them."
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and a text that says whether the platform enforces its pins.

        The text is empty if the pins accept every chain to the policy's trust anchors. Otherwise it
        says that the platform accepts chains that match no pin. Raises ``ConfigError`` if the
        policy has no private trust anchors (``trust``).
        """
        if policy.trust is None:
            raise ConfigError(
                'it has trust = "system", which does not restrict the authorities',
                key="trust",
                fix='set trust to the certificate of the authority: trust = "root.pem"; if the '
                "authority is pinned, name a bundle that contains it: --ca-file FILE",
            )
        if _anchors_are_pinned(policy) and policy.match != "leaf":
            return policy, ""
        return policy, f"every chain to {policy.trust.source!r} is accepted, pinned or not"
