"""The chains of a seed: a corpus of good chains, and mutations of them that the seed chooses.

A chain is a function of the host, the seed and its recipe: the name of a good chain, and mutations.
The recipe is a function of the seed and the chain's number. Random numbers are derived from SHA-256
digests, because those of the module ``random`` may differ between versions of Python.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import ConfigError
from certpin.lab.case import OwnChain
from certpin.lab.fuzz import grammar
from certpin.lab.fuzz.certificate import (
    EXTENSIONS,
    TRUE,
    CertificatePlan,
    ExtensionPlan,
    KeyPlan,
    encode_certificate,
    key_identifier,
    name_of_text,
    private_pem,
    sequence,
)
from certpin.lab.fuzz.grammar import CHAIN, EXTENSION_VALUES, FIELDS, Mutation
from certpin.pins.hosts import is_address
from certpin.x509.der import element

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_OTHER_HOST = "www.other.example"
_WARNING = "do not trust (certpin lab)"
# The extensions on which most verdicts depend: they are changed three times as often as others.
_DECISIVE = tuple(EXTENSIONS)[:5]
# The changes of the certificates above the leaf, each with the least length of a chain for it.
_REARRANGED = {"insert": 1, "append-root": 1, "repeat": 2, "drop": 2, "swap": 3}
# One mutation in this many is one of the chain itself.
_CHAIN_SHARE = 12


@dataclass(frozen=True)
class Recipe:
    """How a chain is made: the name of a good chain of the corpus, and its mutations in order."""

    base: str
    mutations: tuple[Mutation, ...] = ()

    def __str__(self) -> str:
        return "; ".join((f"chain {self.base}", *map(str, self.mutations)))


class Dice:
    """A generator of pseudo-random numbers, seeded with ``words``.

    The same words give the same numbers in every version of Python.
    """

    def __init__(self, *words: object) -> None:
        self._begin = " ".join(map(str, words)).encode()
        self._count = 0

    def below(self, limit: int) -> int:
        """Return the next number, from 0 to ``limit`` - 1.

        The numbers are almost equally likely: if ``limit`` is at most 2^32, a probability deviates
        by less than one part in 2^32.
        """
        self._count += 1
        digest = hashlib.sha256(self._begin + b" %d" % self._count).digest()
        return int.from_bytes(digest[:8]) % limit

    def choose(self, values: Sequence[T]) -> T:
        """Return one of the values, chosen by the next number."""
        return values[self.below(len(values))]


@dataclass(frozen=True)
class BaseChain:
    """A good chain, before any mutation.

    ``plans`` are the fields of its certificates, leaf first. ``root`` is the key of the root that
    issued the last one.
    """

    plans: tuple[CertificatePlan, ...]
    root: KeyPlan


@dataclass(frozen=True)
class FuzzChain:
    """One chain to judge: the recipe by which it was made, and ``own``, the inputs of a client.

    These inputs are the host, the chain, the leaf's private key and the trusted roots.
    """

    recipe: Recipe
    own: OwnChain


@dataclass(frozen=True)
class Corpus:
    """The good chains for a host, below two trusted roots. Mutations recombine their parts.

    Args:
        seed: determines all keys, serial numbers and mutations.
        host: the host that the leaf certificates name.

    Raises:
        ConfigError: the host is an address, or has fewer than three labels.
    """

    seed: int
    host: str

    def __post_init__(self) -> None:
        if is_address(self.host) or self.host.count(".") < 2:
            raise ConfigError(
                f"chains for {self.host} can't be mutated: its names need a domain",
                key="--host",
                fix="name a host such as api.bank.example",
            )

    @cached_property
    def chains(self) -> dict[str, BaseChain]:
        """The good chains by name.

        ``donor`` is a chain for another host. It is not mutated: mutations of other chains take
        fields and certificates from it.
        """
        one, two = KeyPlan("root-1"), KeyPlan("root-2")
        parent = self.host.partition(".")[2]
        inter, sub = KeyPlan("intermediate"), KeyPlan("sub")
        limited = _extension("nameConstraints", "permitted-parent", TRUE, self.host)
        policies = _extension("certificatePolicies", "other")
        return {
            "direct": BaseChain((self._leaf(one, self.host),), one),
            "one": BaseChain((self._leaf(inter, self.host), self._authority(inter, one)), one),
            "two": BaseChain(
                (
                    self._leaf(sub, f"*.{parent}"),
                    self._authority(sub, inter),
                    self._authority(inter, one),
                ),
                one,
            ),
            "constrained": BaseChain(
                (self._leaf(inter, self.host), self._authority(inter, two, limited)), two
            ),
            "policies": BaseChain(
                (
                    self._leaf(sub, _OTHER_HOST, self.host, extra=(policies,)),
                    self._authority(sub, inter, policies),
                    self._authority(inter, two, policies),
                ),
                two,
            ),
            "p384": self._chain_of_p384(one),
            "cross-signed": BaseChain(
                (
                    self._leaf(inter, self.host),
                    self._authority(inter, KeyPlan("untrusted")),
                    self._authority(KeyPlan("untrusted"), one),
                ),
                one,
            ),
            "donor": BaseChain(
                (self._leaf(sub, _OTHER_HOST, usage="client"), self._authority(sub, one)), one
            ),
        }

    @property
    def starts(self) -> tuple[str, ...]:
        """The names of the good chains that are mutated."""
        return tuple(name for name in self.chains if name != "donor")

    @cached_property
    def anchors(self) -> tuple[bytes, ...]:
        """The two trusted roots, as DER.

        They aren't mutated, because clients have them in their trust store.
        """
        keys = KeyPlan("root-1"), KeyPlan("root-2")
        return tuple(encode_certificate(self.seed, self._authority(key, key), key) for key in keys)

    @cached_property
    def donors(self) -> dict[str, CertificatePlan]:
        """The fields of all good certificates, for mutations that take a field or a certificate.

        The keys are the name of a chain and an index, 0 for the leaf, such as ``two/1``.
        """
        return {
            f"{name}/{index}": plan
            for name, base in self.chains.items()
            for index, plan in enumerate(base.plans)
        }

    def recipe(self, number: int) -> Recipe:
        """Return the recipe of chain ``number`` (from 0): a good chain with one to four mutations.

        No two mutations of a recipe change the same field. So if one of them is removed, its field
        keeps the value of the good chain.
        """
        dice = Dice("certpin fuzz chain", self.seed, number)
        base = dice.choose(self.starts)
        wanted = 1 + (0, 0, 0, 1, 1, 2, 2, 3)[dice.below(8)]
        found: dict[tuple[int, str], Mutation] = {}
        while len(found) < wanted:
            change = self._draw(dice, self.chains[base].plans)
            found.setdefault((change.certificate, change.field), change)
        return Recipe(base, tuple(found.values()))

    def build(self, recipe: Recipe) -> FuzzChain:
        """Make the chain of a recipe: a good chain with its mutations.

        Raises:
            ValueError: the grammar has no such mutation.
            LabError: the installed ``cryptography`` can't make deterministic ECDSA signatures.
        """
        base = self.chains[recipe.base]
        plans = list(base.plans)
        for change in recipe.mutations:
            if change.certificate != CHAIN:
                self._change(plans, change)
        keys = [*(plan.key for plan in plans[1:]), base.root]
        chain = [
            encode_certificate(self.seed, plan, key) for plan, key in zip(plans, keys, strict=True)
        ]
        for change in recipe.mutations:
            if change.certificate == CHAIN:
                self._rearrange(chain, change)
        key_pem = private_pem(self.seed, plans[0].key)
        return FuzzChain(recipe, OwnChain(self.host, tuple(chain), key_pem, self.anchors))

    def _draw(self, dice: Dice, plans: Sequence[CertificatePlan]) -> Mutation:
        """Return a pseudo-random mutation of a chain, or of one of its certificates.

        ``dice`` makes the random choices. ``plans`` are the fields of the chain's certificates,
        leaf first.
        """
        if dice.below(_CHAIN_SHARE) == 0:
            what = dice.choose([name for name, least in _REARRANGED.items() if len(plans) >= least])
            value = dice.choose(tuple(self.donors)) if what == "insert" else ""
            return Mutation(CHAIN, what, "set", value)
        index = dice.below(len(plans))
        if dice.below(5) < 3:
            return self._draw_extension(dice, index, plans[index])
        field = dice.choose([name for name in FIELDS if name != "name" or index])
        if field in grammar.ENCODED and dice.below(4) == 0:
            return Mutation(index, field, "encode", dice.choose(tuple(grammar.ODDITIES)))
        if field in {"serial", "issuer", "subject"} and dice.below(6) == 0:
            return Mutation(index, field, "take", dice.choose(tuple(self.donors)))
        return Mutation(index, field, "set", dice.choose(tuple(FIELDS[field])))

    def _draw_extension(self, dice: Dice, index: int, plan: CertificatePlan) -> Mutation:
        field = dice.choose((*EXTENSIONS, *_DECISIVE, *_DECISIVE))
        operations = ["set"]
        if any(extension.name == field for extension in plan.extensions):
            operations += ["set", *grammar.EXTENSION_OPERATIONS]
        operation = dice.choose(operations)
        values: dict[str, Sequence[str]] = {
            "set": tuple(EXTENSION_VALUES[field]),
            "take": tuple(self.donors),
            "flag": tuple(grammar.FLAGS),
            "encode": tuple(grammar.ODDITIES),
        }
        value = dice.choose(values[operation]) if operation in values else ""
        return Mutation(index, field, operation, value)

    def _change(self, plans: list[CertificatePlan], change: Mutation) -> None:
        """Apply the mutation ``change`` to one certificate of a chain, in the list ``plans``.

        ``plans`` has the fields of the chain's certificates, leaf first. If the mutation changes
        the subject (``name``), the issuer field of the certificate below is changed too.
        """
        index = change.certificate
        if change.operation == "take":
            plans[index] = self._taken(plans[index], change)
        elif change.field == "name":
            renamed = grammar.apply(plans[index], replace(change, field="subject"), self.host, 0)
            plans[index] = renamed
            plans[index - 1] = replace(plans[index - 1], issuer=renamed.subject)
        else:
            plans[index] = grammar.apply(plans[index], change, self.host, self.seed)

    def _taken(self, plan: CertificatePlan, change: Mutation) -> CertificatePlan:
        """Return a certificate's fields with one field replaced by that of another certificate.

        ``plan`` has the fields of the certificate. ``change.field`` names the field, which can be
        an extension, and ``change.value`` the other certificate of the corpus. If that one lacks
        the extension, it is removed.
        """
        donor = self.donors[change.value]
        if change.field not in EXTENSIONS:
            return grammar.with_field(plan, change.field, getattr(donor, change.field))
        for extension in donor.extensions:
            if extension.name == change.field:
                return grammar.with_extension(plan, extension)
        return grammar.without_extension(plan, change.field)

    def _rearrange(self, chain: list[bytes], change: Mutation) -> None:
        """Insert, repeat, drop, reorder or add certificates above the leaf, in the list ``chain``.

        ``change`` selects one of these operations. The leaf stays first, as TLS requires.
        """
        above = chain[1:]
        if change.field == "repeat":
            above += above
        elif change.field == "drop":
            del above[:1]
        elif change.field == "swap":
            above.reverse()
        elif change.field == "append-root":
            above.append(self.anchors[0])
        else:
            base, _, index = change.value.partition("/")
            other = self.chains[base]
            keys = [*(plan.key for plan in other.plans[1:]), other.root]
            plan, key = other.plans[int(index)], keys[int(index)]
            above.insert(0, encode_certificate(self.seed, plan, key))
        chain[1:] = above

    def _chain_of_p384(self, root: KeyPlan) -> BaseChain:
        issuer = KeyPlan("intermediate", "p384")
        leaf = self._leaf(issuer, self.host)
        leaf = replace(leaf, key=replace(leaf.key, kind="p384"))
        return BaseChain((self._with_identifier(leaf), self._authority(issuer, root)), root)

    def _leaf(
        self,
        issuer: KeyPlan,
        *hosts: str,
        usage: str = "server",
        extra: tuple[ExtensionPlan, ...] = (),
    ) -> CertificatePlan:
        extensions = (
            ExtensionPlan("basicConstraints", sequence(), TRUE),
            _extension("keyUsage", "digital-signature", TRUE),
            _extension("extKeyUsage", usage),
            ExtensionPlan("subjectAltName", sequence(*map(grammar.dns, hosts))),
            *extra,
        )
        return self._plan(KeyPlan("leaf"), issuer, f"Server, {_WARNING}", extensions)

    def _authority(self, key: KeyPlan, issuer: KeyPlan, *extra: ExtensionPlan) -> CertificatePlan:
        extensions = (
            _extension("basicConstraints", "ca", TRUE),
            ExtensionPlan("keyUsage", b"\x03\x02\x01\x06", TRUE),
            *extra,
        )
        return self._plan(key, issuer, _name_of(key), extensions)

    def _plan(
        self, key: KeyPlan, issuer: KeyPlan, subject: str, extensions: tuple[ExtensionPlan, ...]
    ) -> CertificatePlan:
        serial = Dice("certpin fuzz serial", self.seed, key, issuer, subject).below(2**62) + 1
        authority = sequence(element(b"\x80", key_identifier(self.seed, issuer)))
        plan = CertificatePlan(
            key=key,
            issuer=name_of_text(_name_of(issuer).encode()),
            subject=name_of_text(subject.encode()),
            serial=element(b"\x02", serial.to_bytes(8)),
            extensions=(*extensions, ExtensionPlan("authorityKeyIdentifier", authority)),
        )
        return self._with_identifier(plan)

    def _with_identifier(self, plan: CertificatePlan) -> CertificatePlan:
        identifier = element(b"\x04", key_identifier(self.seed, plan.key))
        return grammar.with_extension(plan, ExtensionPlan("subjectKeyIdentifier", identifier))


def _name_of(key: KeyPlan) -> str:
    return f"{key.owner} {key.kind}, {_WARNING}"


def _extension(name: str, value: str, critical: bytes = b"", host: str = "") -> ExtensionPlan:
    return ExtensionPlan(name, EXTENSION_VALUES[name][value](b"", host), critical)
