"""One probe is not believed; what two probes in a row saw is, and what keeps coming back."""

from __future__ import annotations

from dataclasses import replace

from certpin_watch.monitor.debounce import debounce
from certpin_watch.store.probes import SightingRow

A, B = b"a" * 32, b"b" * 32
ROW = SightingRow(
    *("api.bank.test", 443, "local", "", "", "192.0.2.7", "verified", A, A, "TLSv1.3", "", 0),
    first_at=0,
    last_at=0,
    slot=0,
    count=9,
    latest=False,
)


def rows(*seen: tuple[str, int]) -> list[SightingRow]:
    """Rows that follow each other: what was seen (``-`` is no answer), and how often."""
    found = []
    at = 1000
    for what, count in seen:
        chain = {"a": A, "b": B, "-": b""}[what]
        outcome = "verified" if chain else "unreachable"
        row = replace(
            ROW, served=chain, verified=chain, outcome=outcome, problem=str(at) * (not chain)
        )
        found.append(replace(row, first_at=at, last_at=at + 10 * (count - 1), count=count))
        at += 10 * count
    return [*found[:-1], replace(found[-1], latest=True)]


def believed(*seen: tuple[str, int], recent: int = 0) -> set[str]:
    words = {A: "a", B: "b", b"": "-"}
    return {words[each.row.verified] for each in debounce(rows(*seen), recent)}


def test_nothing_is_believed_of_a_single_probe() -> None:
    assert believed(("a", 1)) == set()
    assert believed(("a", 2)) == {"a"}


def test_a_change_is_believed_when_it_was_seen_twice_and_until_then_what_was_before() -> None:
    assert believed(("a", 9), ("b", 1)) == {"a"}
    assert believed(("a", 9), ("b", 2)) == {"b"}


def test_a_trouble_is_over_when_its_end_was_seen_twice() -> None:
    assert believed(("a", 9), ("b", 5), ("a", 1), recent=1135) == {"b"}
    assert believed(("a", 9), ("b", 5), ("a", 2), recent=1135) == {"a"}


def test_no_answer_for_two_reasons_is_no_answer_twice() -> None:
    assert believed(("a", 9), ("-", 1), ("-", 1), recent=1095) == {"-"}


def test_a_server_that_shows_now_this_and_now_that_shows_both() -> None:
    assert believed(("a", 1), ("b", 1), ("a", 1), ("b", 1)) == {"a", "b"}
    assert believed(("a", 90), ("b", 1), ("a", 3), ("b", 1)) == {"a", "b"}


def test_what_came_back_is_forgotten_when_it_has_stayed_away() -> None:
    assert believed(("b", 1), ("a", 1), ("b", 1), ("a", 90), recent=1500) == {"a"}


def test_an_address_that_the_name_leads_to_no_more_is_not_believed() -> None:
    gone = [replace(row, latest=False) for row in rows(("b", 9))]
    assert debounce(gone, 2000) == ()


def test_the_chain_before_is_known_with_the_moment_of_the_change() -> None:
    (found,) = debounce(rows(("a", 9), ("-", 2), ("b", 3), ("-", 2), ("b", 4)), 9999)
    assert found.before is not None
    assert found.before.verified == A
    assert found.changed_at == 1110  # the time without an answer is no change back and forth
    (found,) = debounce(rows(("a", 9)), 0)
    assert found.before is None
