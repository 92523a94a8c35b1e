"""Compare a client with all verifiers of this machine on mutated chains. Describe the result."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.lab.case import LabError
from certpin.lab.fuzz.compare import (
    CLIENT,
    Disagreement,
    FuzzedClient,
    FuzzRun,
    PeerAsClient,
    compare,
)
from certpin.lab.fuzz.go import GoPeer, build_go_helper
from certpin.lab.fuzz.peers import CertpinPeer, CryptographyPeer, OpenSSLPeer
from certpin.lab.server.tls import Contexts
from certpin.support.text import encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from certpin.lab.fuzz.chains import Corpus
    from certpin.lab.fuzz.compare import DisagreementClass
    from certpin.lab.fuzz.peers import Peer


@contextmanager
def open_peers(corpus: Corpus, now: datetime) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """Context manager: open the verifiers OpenSSL, certpin, cryptography and, if installed, Go.

    Args:
        corpus: the good chains. The verifiers trust their roots.
        now: the time for ``cryptography``. The other verifiers use the clock of the machine.

    Yields:
        The verifiers; and, by its name, the reason why a verifier is absent.
    """
    contexts = Contexts()
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        peers: list[Peer] = [
            OpenSSLPeer(corpus.anchors, contexts),
            CertpinPeer(corpus.host, corpus.anchors, contexts),
            CryptographyPeer(corpus.anchors, now),
        ]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certpin-fuzz-")))
        try:
            peers.append(GoPeer(*build_go_helper(folder), corpus.anchors))
        except LabError as exc:
            absent[GoPeer.name] = exc.problem
        for peer in peers:
            stack.callback(peer.close)
        yield peers, absent


def fuzz(
    corpus: Corpus,
    count: int,
    client: FuzzedClient | None,
    *,
    now: datetime,
    jobs: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> FuzzRun:
    """Compare a client with all verifiers of this machine on mutated chains.

    Args:
        corpus: the good chains, with the seed and the host.
        count: the number of mutated chains.
        client: the client under test. None compares certpin itself with the other verifiers.
        now: the current time.
        jobs: the number of chains that the client judges at the same time.
        progress: called after each chain.

    Returns:
        The classes of disagreement.

    Raises:
        LabError: a verifier ended, or the lab can't make the chains.
    """
    with open_peers(corpus, now) as (peers, absent):
        if client is None:
            own = next(peer for peer in peers if isinstance(peer, CertpinPeer))
            others = [peer for peer in peers if peer is not own]
            return compare(
                corpus, count, PeerAsClient(own), others, absent=absent, progress=progress
            )
        return compare(corpus, count, client, peers, absent=absent, jobs=jobs, progress=progress)


def verdict_words(verdicts: dict[str, bool]) -> str:
    """Return the verdicts of verifiers as text: ``client, openssl accept; go refuses``.

    ``verdicts`` has True for a verifier that accepts, by its name.
    """
    parts = []
    for accepts, word in ((True, "accept"), (False, "refuse")):
        names = [name for name, found in verdicts.items() if found is accepts]
        if names:
            parts.append(f"{', '.join(names)} {word}{'s' if len(names) == 1 else ''}")
    return "; ".join(parts)


def patterns(run: FuzzRun) -> Iterator[str]:
    """Yield a line for each combination of verdicts in which the other verifiers disagree.

    ``run`` is the result of a comparison. Disagreements in which all of them contradict the client
    are left out. A line has the number of chains, the verdicts, and the fields that the minimal
    chains changed. The most frequent combination comes first.
    """
    chains: Counter[str] = Counter()
    fields: dict[str, Counter[str]] = {}
    for each in run.classes:
        if each.kind is Disagreement.SPLIT:
            words = verdict_words({name: bool(v.accepts) for name, v in each.verdicts.items()})
            chains[words] += each.count
            changed = " with ".join(change.field for change in each.recipe.mutations)
            fields.setdefault(words, Counter())[changed] += each.count
    for words, number in chains.most_common():
        listed = ", ".join(f"{name} {count}" for name, count in fields[words].most_common())
        yield f"{number}: {words} ({listed})"


def fuzz_facts(run: FuzzRun) -> dict[str, Any]:
    """Return the result of a comparison as a dictionary that can be written as JSON."""
    return {
        "seed": run.corpus.seed,
        "host": run.corpus.host,
        "chains": run.chains,
        "peers": run.peers,
        "absent": run.absent,
        "problem": run.problem or None,
        "refused_bases": list(run.refused_bases),
        "agreed": {"accepted": run.agreed[0], "refused": run.agreed[1]},
        "not_compared": {encodable(why): number for why, number in run.not_compared.items()},
        "classes": [_class_facts(each) for each in run.classes],
    }


def _class_facts(each: DisagreementClass) -> dict[str, Any]:
    return {
        "name": each.name,
        "kind": each.kind.name.lower(),
        "count": each.count,
        "base": each.recipe.base,
        "mutations": [asdict(change) for change in each.recipe.mutations],
        "verdicts": {
            name: {"accepts": verdict.accepts, "why": encodable(verdict.why)}
            for name, verdict in each.verdicts.items()
        },
    }


def findings_text(run: FuzzRun, kind: Disagreement) -> Iterator[str]:
    """Yield lines of text on each disagreement of the kind ``kind``.

    They describe how the chain was mutated, and give the reasons of the verifiers.
    """
    for each in run.classes:
        if each.kind is not kind:
            continue
        chains = "1 chain" if each.count == 1 else f"{each.count} chains"
        yield f"{each.name} ({chains}): {each.recipe}"
        for name, verdict in each.verdicts.items():
            if verdict.why and (name != CLIENT or not verdict.accepts):
                yield f"  {name}: {verdict.why}"
