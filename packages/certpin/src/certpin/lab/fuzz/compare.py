"""Compare the verdicts of a client on the chains of a seed with those of the other verifiers.

A disagreement is minimised: the result is the chain with the fewest mutations on which the client
and each verifier have the same verdicts as before. A chain has at most four mutations, so all
subsets are tried, from the smallest. Unlike delta debugging, this finds the minimum, and not only
a local one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from certpin.lab import runner
from certpin.lab.fuzz.chains import Recipe
from certpin.lab.fuzz.peers import PeerVerdict
from certpin.lab.own.chain import ExpectedVerdict, own_case
from certpin.lab.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.case import Case, OwnChain
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.fuzz.chains import Corpus, FuzzChain
    from certpin.lab.fuzz.grammar import Mutation
    from certpin.lab.fuzz.peers import Peer
    from certpin.lab.lab import Lab

CLIENT = "client"


class FuzzedClient(Protocol):
    """Interface of the client that is compared: a program, or a verifier of this package."""

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Return the client's verdict on a chain. Several threads call this at the same time."""

    def stop(self) -> None:
        """End all runs of the client that ``judge`` started. The client is not used again."""


class LabClient:
    """A client that the lab runs, once for each chain.

    The client gets the trusted roots in files of the lab.
    """

    def __init__(self, lab: Lab, client: ClientUnderTest) -> None:
        self._lab = lab
        self._client = client
        self._lock = Lock()
        self._running: Counter[OwnChain] = Counter()  # equal chains share their files

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Run the client against a server with this chain, and return its verdict.

        The verdict's ``accepts`` is None if the client reached no clear verdict, for example
        because it died, or if the chain can't be served.
        """
        case = case_of("fuzz", chain, ExpectedVerdict.REPORT)
        with self._lock:
            self._running[chain.own] += 1
        try:
            result = runner.try_case(self._lab, self._client, case)
        finally:
            with self._lock:
                self._running[chain.own] -= 1
                if not self._running[chain.own]:
                    del self._running[chain.own]
                    self._lab.forget(case)
        accepts = {Verdict.ACCEPT: True, Verdict.LEAK: True, Verdict.REJECT: False}
        found = accepts.get(result.verdict) if result.verdict else None
        return PeerVerdict(found, result.why)

    def stop(self) -> None:
        """Stop all running programs of the client."""
        self._client.stop()


class PeerAsClient:
    """A verifier of this package in the role of the client under test.

    ``fuzz`` uses certpin itself as the client, if the user gave no client command.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Return the verdict of the verifier on a chain: accepted, refused, or no verdict."""
        return self._peer.judge(chain.own)

    def stop(self) -> None:
        """Close the verifier."""
        self._peer.close()


class Disagreement(StrEnum):
    """How the verdict of a client differs from those of the peers (the other verifiers).

    Only the first value, with which the client accepts and all peers refuse, is a finding.
    ``SPLIT`` means that the peers disagree among themselves.
    """

    ACCEPTED = "client accepts, all peers refuse"  # a finding
    REFUSED = "client refuses, all peers accept"
    SPLIT = "peers disagree"


@dataclass(frozen=True)
class DisagreementClass:
    """A group of chains with the same verdicts and the same fewest mutations that cause them.

    Attributes:
        kind: how the verdicts differ.
        recipe: the good chain and the fewest mutations that give these verdicts.
        number: the number of the first chain of the class.
        verdicts: the verdict on the minimal chain, for ``client`` and for each other verifier.
        count: how many chains contain these mutations and have these verdicts.
    """

    kind: Disagreement
    recipe: Recipe
    number: int
    verdicts: dict[str, PeerVerdict]
    count: int = 1

    @property
    def name(self) -> str:
        """The name, in the case file, of the case with the minimal chain."""
        return f"fuzz-{self.number}"

    def contains(self, recipe: Recipe, accepts: dict[str, bool]) -> bool:
        """Return True if a chain belongs to this class: it is then counted, and not minimised.

        It has the verdicts of the class, and at least the mutations of the minimal chain.

        Args:
            recipe: the good chain and the mutations of the chain.
            accepts: by the name of the verifier, True if it accepts the chain.
        """
        changes = set(self.recipe.mutations)
        same = {name: verdict.accepts for name, verdict in self.verdicts.items()} == accepts
        return same and bool(changes) and changes <= set(recipe.mutations)


@dataclass(frozen=True)
class FuzzRun:
    """The result of a comparison of a client with the peers (the other verifiers).

    Attributes:
        corpus: the good chains, with the seed and the host.
        chains: the number of mutated chains.
        peers: the version of each peer, by its name.
        absent: the reason why a peer did not take part, by its name.
        refused_bases: the names of the good chains that the client refuses. Mutations of these
            chains are not judged.
        not_compared: the number of chains that were not compared, by the reason.
        agreed: the number of chains that all verifiers accept, and of those that all refuse.
        classes: the disagreements, in the order in which they were found.
        problem: the reason why the run proves nothing; empty if the client accepted a good chain
            both first and last.
    """

    corpus: Corpus
    chains: int
    peers: dict[str, str]
    absent: dict[str, str]
    refused_bases: tuple[str, ...]
    not_compared: dict[str, int]
    agreed: tuple[int, int]
    classes: tuple[DisagreementClass, ...]
    problem: str = ""

    @property
    def compared(self) -> int:
        """The number of chains on which all verdicts are known; 0 if the run proves nothing."""
        return 0 if self.problem else self.chains - sum(self.not_compared.values())

    @property
    def findings(self) -> tuple[DisagreementClass, ...]:
        """The classes of chains that the client accepts and every other verifier refuses."""
        return tuple(each for each in self.classes if each.kind is Disagreement.ACCEPTED)


def case_of(name: str, chain: FuzzChain, expect: ExpectedVerdict) -> Case:
    """Return a lab case that serves a chain.

    If the case is written to a file, ``certpin prove --case-file`` can run it again.

    Args:
        name: the name of the case.
        chain: the chain to serve.
        expect: the verdict that a correct client reaches.
    """
    return own_case(name, chain.own, expect, str(chain.recipe))


def cases_of(run: FuzzRun) -> list[Case]:
    """Return the minimal chain of each class of disagreement as a case, for a case file.

    If the other verifiers agree, their verdict is the expected one. Otherwise no verdict is
    expected, and the client's is only reported. ``run`` is the result of a comparison.
    """
    expected = {
        Disagreement.ACCEPTED: ExpectedVerdict.REFUSE,
        Disagreement.REFUSED: ExpectedVerdict.ACCEPT,
        Disagreement.SPLIT: ExpectedVerdict.REPORT,
    }
    return [
        case_of(each.name, run.corpus.build(each.recipe), expected[each.kind])
        for each in run.classes
    ]


def minimise(recipe: Recipe, keeps: Callable[[Recipe], bool]) -> Recipe:
    """Return the recipe with the fewest mutations for which ``keeps`` is True.

    Args:
        recipe: the recipe to minimise.
        keeps: returns True if a recipe still has the disagreement. Not called for ``recipe``
            itself.

    Returns:
        A recipe with a subset of the mutations, in their order. If several subsets have the fewest
        mutations, the first one is taken. If no smaller recipe has the disagreement, ``recipe`` is
        returned.
    """
    for number in range(len(recipe.mutations)):
        subset: tuple[Mutation, ...]
        for subset in combinations(recipe.mutations, number):
            smaller = replace(recipe, mutations=subset)
            if keeps(smaller):
                return smaller
    return recipe


class _Comparison:
    def __init__(self, corpus: Corpus, client: FuzzedClient, peers: Sequence[Peer]) -> None:
        self.corpus = corpus
        self.client = client
        self.peers = peers
        self.not_compared: Counter[str] = Counter()
        self.agreed = [0, 0]
        self.classes: list[DisagreementClass] = []

    def baseline(self) -> tuple[str, ...]:
        """Run the client on the good (not mutated) chains. Return the names of those it accepts.

        Only mutations of these are judged: a refusal of another proves nothing.
        """
        good = [
            name
            for name in self.corpus.starts
            if self.client.judge(self.corpus.build(Recipe(name))).accepts
        ]
        return tuple(good)

    def add(self, number: int, recipe: Recipe, client: PeerVerdict) -> None:
        """Judge a chain with the other verifiers, and record how the client's verdict differs.

        Args:
            number: the number of the chain.
            recipe: how the chain is made.
            client: the verdict of the client on the chain.
        """
        if client.accepts is None:
            self.not_compared[client.why] += 1
            return
        verdicts = self._ask_peers(recipe)
        silent = next((each for each in verdicts.values() if each.accepts is None), None)
        if silent:
            self.not_compared[silent.why] += 1
            return
        accepts = {CLIENT: client.accepts} | _accepts(verdicts)
        kind = kind_of(accepts)
        if kind is None:
            self.agreed[not client.accepts] += 1
            return
        for index, known in enumerate(self.classes):
            if known.contains(recipe, accepts):
                self.classes[index] = replace(known, count=known.count + 1)
                return
        found: dict[Recipe, dict[str, PeerVerdict]] = {recipe: {CLIENT: client} | verdicts}
        minimal = minimise(recipe, lambda smaller: self._keeps(smaller, accepts, found))
        self._record(DisagreementClass(kind, minimal, number, found[minimal]))

    def _record(self, new: DisagreementClass) -> None:
        for index, known in enumerate(self.classes):
            if known.recipe == new.recipe and _accepts(known.verdicts) == _accepts(new.verdicts):
                self.classes[index] = replace(known, count=known.count + 1)
                return
        self.classes.append(new)

    def _ask_peers(self, recipe: Recipe) -> dict[str, PeerVerdict]:
        own = self.corpus.build(recipe).own
        return {peer.name: peer.judge(own) for peer in self.peers}

    def _keeps(
        self,
        recipe: Recipe,
        accepts: dict[str, bool],
        found: dict[Recipe, dict[str, PeerVerdict]],
    ) -> bool:
        """Return True if client and peers have the verdicts ``accepts`` on the chain of a recipe.

        The peers are the other verifiers. They judge first, because they are faster: the client is
        run only if all of them have these verdicts. Then all verdicts, with the client's, are
        stored in ``found``.

        Args:
            recipe: the good chain and its mutations.
            accepts: by name, True for each verifier that accepts; the client is ``client``.
            found: gets the verdicts, by recipe and name.
        """
        verdicts = self._ask_peers(recipe)
        if {CLIENT: accepts[CLIENT]} | _accepts(verdicts) != accepts:
            return False
        client = self.client.judge(self.corpus.build(recipe))
        found[recipe] = {CLIENT: client} | verdicts
        return client.accepts is accepts[CLIENT]


def _accepts(verdicts: dict[str, PeerVerdict]) -> dict[str, bool]:
    return {name: bool(verdict.accepts) for name, verdict in verdicts.items()}


def kind_of(accepts: dict[str, bool]) -> Disagreement | None:
    """Return how the client's verdict differs from those of the other verifiers; None if all agree.

    ``accepts`` has True for each verifier that accepts, by name: ``client`` and at least one other.
    """
    peers = {accepts[name] for name in accepts if name != CLIENT}
    if len(peers) > 1:
        return Disagreement.SPLIT
    if accepts[CLIENT] in peers:
        return None
    return Disagreement.ACCEPTED if accepts[CLIENT] else Disagreement.REFUSED


def compare(  # noqa: PLR0913  # keywords, each of which is a setting of a run
    corpus: Corpus,
    count: int,
    client: FuzzedClient,
    peers: Sequence[Peer],
    *,
    absent: dict[str, str],
    jobs: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> FuzzRun:
    """Compare a client with other verifiers on mutated chains, and minimise each disagreement.

    The client judges the good chains first. If it refuses one, mutations of this chain are not
    judged, because a refusal would prove nothing. At the end, the client must accept a good chain
    again.

    Args:
        corpus: the good chains, with the seed and the host.
        count: the number of mutated chains. A larger number adds chains, and changes none.
        client: the client under test.
        peers: the verifiers to compare with, at least one.
        absent: the reason why a peer does not take part, by its name.
        jobs: the number of chains that the client judges at the same time.
        progress: called in this thread after each chain.

    Returns:
        The classes of disagreement, and the number of chains without one.

    Raises:
        LabError: a peer ended, or the lab can't make the chains.
    """
    comparison = _Comparison(corpus, client, peers)
    good = comparison.baseline()
    run = FuzzRun(
        corpus,
        count,
        {peer.name: peer.version for peer in peers},
        absent,
        tuple(name for name in corpus.starts if name not in good),
        {},
        (0, 0),
        (),
        "" if good else "the client refused every chain that is not mutated",
    )
    if not good:
        return run

    def judge(number: int) -> tuple[int, Recipe, PeerVerdict]:
        recipe = corpus.recipe(number)
        if recipe.base not in good:
            why = f"the client refuses the chain {recipe.base} without mutations"
            return number, recipe, PeerVerdict(None, why)
        return number, recipe, client.judge(corpus.build(recipe))

    with runner.client_pool(client.stop, jobs) as pool:
        for number, recipe, verdict in pool.map(judge, range(count)):
            comparison.add(number, recipe, verdict)
            progress()
    last = client.judge(corpus.build(Recipe(good[0])))
    return replace(
        run,
        not_compared=dict(comparison.not_compared),
        agreed=(comparison.agreed[0], comparison.agreed[1]),
        classes=tuple(comparison.classes),
        problem="" if last.accepts else "in the end, the client refused a chain that it accepted",
    )
