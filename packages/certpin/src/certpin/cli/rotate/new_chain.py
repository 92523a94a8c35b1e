"""The chain or key that servers will use, as ``switch``, ``plan`` and ``simulate`` check it.

All three commands take the key, or the file of the chain, that the user named. ``NewChain`` is the
only code that reads it, so that a plan and the command that takes its steps apply the same rules to
the same chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.cli.keys import dart_unknown, require_certifiable, require_usable_in_dart
from certpin.cli.named_key import dropped_policies
from certpin.cli.rotate.steps import HostViolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.named_key import KeyReference
    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import Plan, Prospect, Situation, Violation


@dataclass(frozen=True)
class NewChain:
    """The key that servers will use, with its chain if the user named the chain's file.

    Attributes:
        named: the key or chain, as it was read.
        policies: the policies of the hosts that use it.
    """

    named: KeyReference
    policies: Sequence[HostPolicy]

    @property
    def pin(self) -> Pin:
        """The pin of the key; of a chain, the pin of its first certificate's key."""
        return self.named.pin

    @cached_property
    def prospects(self) -> tuple[Prospect, ...]:
        """The chains that servers may present after the step; empty if the user named only a key.

        There are two chains if the first certificate is an authority's and has host names: servers
        may present it as their leaf, or as the issuer of their leaf. But if each host trusts it as
        an anchor, it is a self-signed server certificate, and is expected only as the leaf.
        """
        from certpin.rotation import Prospect
        from certpin.x509.chain import public_roots

        certificates = self.named.certificates
        if not certificates:
            return ()
        leaf, *above = certificates
        roots = public_roots()
        by_leaf = Prospect(leaf, tuple(above), sent=True, roots=roots)
        by_authority = Prospect(None, certificates, sent=True, roots=roots)
        if not leaf.is_authority:
            return (by_leaf,)
        if not self.named.names:
            return (by_authority,)
        anchors = [policy.trust.der if policy.trust else () for policy in self.policies]
        is_own_anchor = all(leaf.der in each for each in anchors)  # a self-signed server
        return (by_leaf,) if is_own_anchor else (by_leaf, by_authority)

    def require_certifiable(self) -> None:
        """Refuse a key that no public authority would certify, if the user named no certificate.

        If the user named only a pin, nothing is refused, because a pin doesn't show the type of its
        key.

        Raises:
            ConfigError: no authority that clients of a host trust certifies such a key.
        """
        named = self.named
        if named.certificates or not named.key_type:
            return
        for policy in self.policies:
            pin = named.pin if named.pin in {each.pin for each in policy.pins} else None
            require_certifiable(named.key_type, policy.pattern, policy.trust, policy.match, pin)

    def require_usable_in_dart(self) -> None:
        """Refuse a key that no Flutter app accepts, unless servers of the host use it already.

        Raises:
            ConfigError: Dart's TLS can't use the key.
        """
        for policy in self.policies:
            served = {entry.pin for entry in policy.pins if entry.in_service}
            if self.pin not in served and self._is_server_key(policy):
                require_usable_in_dart(self.named.key_type, policy.pattern)

    @property
    def dart_unknown(self) -> list[str]:
        """A note that Flutter apps can't use the key of the servers, as a list of one phrase.

        It is printed after "Not known:", because certpin does not know whether Flutter apps use the
        host. The list is empty if they can use the key, or if its type is unknown.
        """
        key_type = self.named.key_type
        if not key_type or not any(map(self._is_server_key, self.policies)):
            return []
        note = dart_unknown(key_type)
        return [note] if note else []

    def _is_server_key(self, policy: HostPolicy) -> bool:
        """Return True if the key is that of a server, and a private authority certifies it.

        Only then can Dart lack support for the key: it supports each type that public authorities
        certify.
        """
        if policy.trust is None:
            return False
        named = self.named
        return not named.is_authority if named.certificates else policy.match != "ca"

    def violations(self, situation: Situation) -> tuple[Violation, ...]:
        """Return the rules against lockouts that the use of the chain at one host would violate.

        ``situation`` has the facts about the host. The result is empty if the step is safe. If the
        certificate is not for this host, that is the only result.
        """
        from certpin.rotation import check_step

        if (wrong_name := self._wrong_name(situation)) is not None:
            # Its key has no place in the pins of this host, so no other rule helps.
            return (wrong_name,)
        return check_step(situation, "activate", self.pin, self.prospects, renews=True)

    def of_dropped_hosts(self, situation: Situation) -> list[HostViolation]:
        """Return the violated rules at hosts that only published versions have, not the pin file.

        Clients may still hold these versions. Only hosts that the certificate names are checked.

        Args:
            situation: the facts about any host of the step.
        """
        from certpin.rotation.gate import relies_on_ends, without_ends
        from certpin.rotation.rules import refused_by_version

        covered = self.named.policies(situation.pins)
        situations = [replace(situation, pattern=policy.pattern) for policy in covered]
        found = []
        for name in self.named.hosts:
            now, if_held = (
                refused_by_version(
                    each, dropped_policies(name, situations, each.alive), name, self.prospects
                )
                for each in (situation, without_ends(situation))
            )
            broken = [] if now is None else [now]
            held = [] if if_held is None else [if_held]
            broken += relies_on_ends(situation, broken, held)
            found += [HostViolation(name, violation) for violation in broken]
        return found

    def plan(self, situation: Situation) -> Plan:
        """Return the dated steps by which the servers of one host change to the chain or key.

        The plan applies the rules of the commands that take the steps. So it refuses a step for the
        same ``violations`` and ``of_dropped_hosts`` as ``rotate switch``.

        Raises:
            ConfigError: a pin set of the plan would be invalid.
        """
        from certpin.rotation import Plan, plan

        if (wrong_name := self._wrong_name(situation)) is not None:
            return Plan(self.pin, (), (wrong_name,))
        return plan(
            situation,
            self.pin,
            self.prospects,
            lambda then: [each.violation for each in self.of_dropped_hosts(then)],
        )

    @property
    def unknown(self) -> list[str]:
        """What the plan assumes, as clauses for the output.

        There is one clause if the user named only a key, because its chain is then unknown. The
        list is empty if the user named the file of a chain.
        """
        from certpin.rotation.remedies import CHAIN_FILE

        if self.prospects:
            return []
        authority = any(policy.match == "ca" for policy in self.policies)
        role = "that this key is an authority's, and " if authority else ""
        assumed = f"the plan assumes {role}that every client verifies it"
        return [f"the chain of {self.pin}: {assumed}; its file, such as {CHAIN_FILE}, answers that"]

    def _wrong_name(self, situation: Situation) -> Violation | None:
        """Return a violation if the named certificate is not for the situation's host; else None.

        Also return None if the user named no certificate, or an authority's certificate without
        host names: servers will install a certificate that this authority issues.
        """
        named, policy = self.named, situation.policy
        if not named.certificates or (named.is_authority and not named.names):
            return None
        if policy in named.policies(situation.pins):
            return None
        from certpin.pins.certificate_names import name_fault
        from certpin.rotation import Violation
        from certpin.rotation.fleet import client_count
        from certpin.support.text import printable

        names = ", ".join(map(printable, named.names[:3])) or "no host"
        problem = f"the certificate is for {names}, and not for {policy.pattern}"
        fix = "get a certificate for that host"
        if fault := name_fault(policy.pattern, named.certificates[0]):
            problem, fix = (
                f"the certificate is not for {policy.pattern}: {fault.problem}",
                fault.fix,
            )
        return Violation("certificate", problem, client_count(situation), fix=fix)
