"""Fuzz runs that compare the verifiers on this machine, and a real client that the lab serves."""

from __future__ import annotations

import logging
import ssl
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest

from certpin.lab.case import LabError
from certpin.lab.client import Call
from certpin.lab.fuzz.chains import Corpus, Recipe
from certpin.lab.fuzz.compare import LabClient, case_of, compare
from certpin.lab.fuzz.go import GoPeer, build_go_helper
from certpin.lab.fuzz.grammar import Mutation
from certpin.lab.fuzz.peers import CryptographyPeer, OpenSSLPeer, Peer
from certpin.lab.fuzz.run import fuzz, fuzz_facts, open_peers, patterns, verdict_words
from certpin.lab.lab import Lab
from certpin.lab.own.chain import ExpectedVerdict
from certpin.lab.pki import Style
from certpin.lab.server.tls import Contexts
from tests.lab._clients import request, right_client, trusting

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.target import Target

HOST = "api.bank.example"
CORPUS = Corpus(1, HOST)
NOW = datetime.now(UTC)
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
EXPIRED = Recipe("one", (Mutation(0, "not_after", "set", "past"),))
UNSERVABLE = Recipe("one", (Mutation(1, "issuer", "encode", "cut"),))


@pytest.fixture(autouse=True)
def _without_go(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove Go from PATH, except for tests marked as needing it: building its helper is slow."""
    if not request.node.get_closest_marker("peer"):
        monkeypatch.setenv("PATH", "")


def careless(target: Target) -> str:
    """Send a request as a client that verifies the path but ignores the certificates' dates."""
    context = trusting(target)
    context.verify_flags = ssl.VerifyFlags(int(context.verify_flags) | NO_CHECK_TIME)
    return request(target, context)


@pytest.mark.slow
@pytest.mark.peer("go")
@pytest.mark.timeout(400)
def test_go_judges_the_same_chains(tmp_path: Path) -> None:
    helper, version = build_go_helper(tmp_path)
    peer = GoPeer(helper, version, CORPUS.anchors)
    assert version.startswith("go1.")
    for base in CORPUS.starts:
        assert peer.judge(CORPUS.build(Recipe(base)).own).accepts, base
    for recipe in (EXPIRED, UNSERVABLE):
        verdict = peer.judge(CORPUS.build(recipe).own)
        assert verdict.accepts is False
        assert verdict.why
    for number in range(100):
        assert peer.judge(CORPUS.build(CORPUS.recipe(number)).own).accepts is not None
    peer.close()
    with pytest.raises((LabError, ValueError)):
        peer.judge(CORPUS.build(EXPIRED).own)


def test_a_machine_without_go_compares_with_the_others(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no program go"):
        build_go_helper(tmp_path)
    with open_peers(CORPUS, NOW) as (peers, absent):
        assert [peer.name for peer in peers] == ["openssl", "certpin", "cryptography"]
        assert absent == {"go": "no program go in PATH"}


def test_a_go_that_cannot_build_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go").write_text("#!/bin/sh\necho broken >&2\nexit 1\n", encoding="ascii")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with open_peers(CORPUS, NOW) as (_, absent):
        assert absent == {"go": "Go can't build its helper: broken"}


@pytest.mark.medium
def test_certpin_accepts_nothing_that_all_others_refuse() -> None:
    found = fuzz(CORPUS, 60, None, now=NOW)
    assert not found.findings
    assert set(found.peers) == {"openssl", "cryptography"}
    assert found.compared == 60
    facts = fuzz_facts(found)
    assert sum(facts["agreed"].values()) + sum(each["count"] for each in facts["classes"]) == 60
    lines = list(patterns(found))
    assert lines
    split = sum(each["count"] for each in facts["classes"] if each["kind"] == "split")
    assert sum(int(line.partition(":")[0]) for line in lines) == split


def test_refusals_of_certpin_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger("certpin").handlers)
    with open_peers(CORPUS, NOW) as (peers, _):
        assert not peers[1].judge(CORPUS.build(EXPIRED).own).accepts
    assert logging.getLogger("certpin").handlers == handlers
    assert "refused" not in "".join(capfd.readouterr())


def test_openssl_refuses_what_it_cannot_read() -> None:
    peer = OpenSSLPeer(CORPUS.anchors, Contexts())
    verdict = peer.judge(CORPUS.build(UNSERVABLE).own)
    assert verdict.accepts is False
    assert "will not serve it" in verdict.why


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_client_that_ignores_dates_is_found_behind_the_lab() -> None:
    corpus = Corpus(62, HOST)
    peers: list[Peer] = [
        OpenSSLPeer(corpus.anchors, Contexts()),
        CryptographyPeer(corpus.anchors, NOW),
    ]
    with Lab(HOST, Style.NONE) as lab:
        client = LabClient(lab, Call(careless))
        found = compare(corpus, 3, client, peers, absent={}, jobs=2)
    assert not found.problem
    [finding] = found.findings
    assert [each.field for each in finding.recipe.mutations] == ["not_after"]
    assert "has expired" in finding.verdicts["openssl"].why
    assert all("serve" in why for why in found.not_compared)


@pytest.mark.parametrize("style", [Style.NONE, Style.LEAF, Style.CA])
def test_a_correct_client_of_each_style_accepts_the_good_chain(style: Style) -> None:
    with Lab(HOST, style) as lab:
        client = LabClient(lab, right_client(style))
        assert client.judge(CORPUS.build(Recipe("one"))).accepts is True
        assert client.judge(CORPUS.build(EXPIRED)).accepts is False
        assert client.judge(CORPUS.build(UNSERVABLE)).accepts is None


def test_the_files_of_a_chain_are_deleted_after_its_run() -> None:
    with Lab(HOST, Style.NONE) as lab:
        before = sorted(lab.folder.rglob("*"))
        case = case_of("one", CORPUS.build(Recipe("one")), ExpectedVerdict.REPORT)
        pki = lab.pki(HOST, case.own)
        assert len(list(lab.folder.rglob("*"))) > len(before)
        lab.forget(case)
        assert sorted(lab.folder.rglob("*")) == before
        assert lab.pki(HOST, case.own) is not pki


def test_equal_chains_that_run_at_once_keep_their_files_until_the_last_ends() -> None:
    begun, ended = Barrier(2, timeout=30), Event()

    def reads_late(target: Target) -> str:
        if target.case == "fuzz" and begun.wait() == 0:
            assert ended.wait(30)
        return request(target, trusting(target))

    chain = CORPUS.build(Recipe("one"))
    with Lab(HOST, Style.NONE) as lab, ThreadPoolExecutor(2) as pool:
        client = LabClient(lab, Call(reads_late))
        running = [pool.submit(client.judge, chain) for _ in range(2)]
        first = next(as_completed(running, timeout=30))
        ended.set()
        assert [first.result().accepts, *[each.result().accepts for each in running]] == [True] * 3
        assert not list(lab.folder.glob("own-*"))


def test_verdicts_as_words() -> None:
    assert verdict_words({"client": True, "go": False}) == "client accepts; go refuses"
    assert verdict_words({"client": True, "go": True}) == "client, go accept"
