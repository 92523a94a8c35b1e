"""Compare the verdicts of a client on the chains of a seed with those of the other verifiers.

A disagreement is minimised: the fewest mutations of its chain that keep the verdict of everyone. A
chain has at most four mutations, so all subsets are tried, from the smallest: unlike delta
debugging, that finds the minimum and not only a local one.
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
    """The client to compare: one behind the lab, or a peer in its place."""

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Return the client's verdict on a chain. Called in several threads at once."""

    def stop(self) -> None:
        """End what ``judge`` still runs. The client is not used again."""


class LabClient:
    """A client that the lab runs: once for each chain, with the anchors in its files."""

    def __init__(self, lab: Lab, client: ClientUnderTest) -> None:
        self._lab = lab
        self._client = client
        self._lock = Lock()
        self._running: Counter[OwnChain] = Counter()  # equal chains share their files

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Run the client. It has no verdict if it died, or if the chain can't be served."""
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
    """A verifier in the place of the client: certpin itself, if no command is given."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def judge(self, chain: FuzzChain) -> PeerVerdict:
        """Return the verdict of the verifier."""
        return self._peer.judge(chain.own)

    def stop(self) -> None:
        """Close the verifier."""
        self._peer.close()


class Disagreement(StrEnum):
    """How the verdict of a client differs from those of the peers."""

    ACCEPTED = "client accepts, all peers refuse"  # a finding
    REFUSED = "client refuses, all peers accept"
    SPLIT = "peers disagree"


@dataclass(frozen=True)
class DisagreementClass:
    """Chains with the same verdicts and the same fewest mutations.

    Attributes:
        kind: how the verdicts differ.
        recipe: the minimal chain.
        number: the number of the first chain of the class.
        verdicts: the verdict on the minimal chain, for ``client`` and for each peer.
        count: how many chains contain these mutations and have these verdicts.
    """

    kind: Disagreement
    recipe: Recipe
    number: int
    verdicts: dict[str, PeerVerdict]
    count: int = 1

    @property
    def name(self) -> str:
        """The name of its case in the case file."""
        return f"fuzz-{self.number}"

    def contains(self, recipe: Recipe, accepts: dict[str, bool]) -> bool:
        """Return True if a chain with these verdicts belongs to this class."""
        changes = set(self.recipe.mutations)
        same = {name: verdict.accepts for name, verdict in self.verdicts.items()} == accepts
        return same and bool(changes) and changes <= set(recipe.mutations)


@dataclass(frozen=True)
class FuzzRun:
    """The result of a comparison.

    Attributes:
        corpus: the seed and the host.
        chains: the number of mutated chains.
        peers: the name and the version of each peer.
        absent: why a peer did not take part, by its name.
        refused_bases: the good chains that the client refuses. Their mutations are not judged.
        not_compared: why chains were not compared, with their number.
        agreed: the number of chains on which all agree: accepted and refused.
        classes: the disagreements, in the order in which they were found.
        problem: why nothing is proven; empty if the client accepted a good chain, first and last.
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
        """The number of chains on which all verdicts are known; 0 if nothing is proven."""
        return 0 if self.problem else self.chains - sum(self.not_compared.values())

    @property
    def findings(self) -> tuple[DisagreementClass, ...]:
        """The classes of chains that the client accepts and every peer refuses."""
        return tuple(each for each in self.classes if each.kind is Disagreement.ACCEPTED)


def case_of(name: str, chain: FuzzChain, expect: ExpectedVerdict) -> Case:
    """Return a chain as a case of the user's own chains, which ``--case-file`` can repeat."""
    return own_case(name, chain.own, expect, str(chain.recipe))


def cases_of(run: FuzzRun) -> list[Case]:
    """Return the minimal chain of each class as a case, for a case file.

    The expected verdict is that of the peers if they agree. Otherwise the case is only reported.
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
        A recipe with a subset of the mutations, in their order; of several with the same number
        the first.
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
        """Return the names of the good chains that the client accepts."""
        good = [
            name
            for name in self.corpus.starts
            if self.client.judge(self.corpus.build(Recipe(name))).accepts
        ]
        return tuple(good)

    def add(self, number: int, recipe: Recipe, client: PeerVerdict) -> None:
        """Add the client's verdict on a chain, and ask the peers about it."""
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
        """Return True if everyone's verdict on a recipe is the given one. The peers are cheaper."""
        verdicts = self._ask_peers(recipe)
        if {CLIENT: accepts[CLIENT]} | _accepts(verdicts) != accepts:
            return False
        client = self.client.judge(self.corpus.build(recipe))
        found[recipe] = {CLIENT: client} | verdicts
        return client.accepts is accepts[CLIENT]


def _accepts(verdicts: dict[str, PeerVerdict]) -> dict[str, bool]:
    return {name: bool(verdict.accepts) for name, verdict in verdicts.items()}


def kind_of(accepts: dict[str, bool]) -> Disagreement | None:
    """Return how verdicts differ, given those of ``client`` and at least one peer; None if not."""
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
    """Compare a client with peers on mutated chains, and minimise each disagreement.

    The good chains come first: if the client refuses one, its mutations are not judged, because a
    refusal would prove nothing. One that it accepts comes last again.

    Args:
        corpus: the seed and the host.
        count: the number of mutated chains. The first ones are the same for every number.
        client: the client under test.
        peers: the verifiers to compare with, at least one.
        absent: why a peer does not take part, by its name.
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
