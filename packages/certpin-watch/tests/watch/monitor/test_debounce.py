"""Check which probe results the service believes.

It does not believe a single probe. It believes what two consecutive probes get, and what occurs
again and again.
"""

from __future__ import annotations

from dataclasses import replace

from certpin_watch.monitor.sightings import debounce
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
    """Return consecutive rows of probe results for one address.

    Args:
        seen: for each row the served chain ("a" or "b"; "-" if the server was unreachable) and the
            number of probes with this result.
    """
    found = []
    at = 1000
    for name, count in seen:
        chain = {"a": A, "b": B, "-": b""}[name]
        outcome = "verified" if chain else "unreachable"
        row = replace(
            ROW, served=chain, verified=chain, outcome=outcome, problem=str(at) * (not chain)
        )
        found.append(replace(row, first_at=at, last_at=at + 10 * (count - 1), count=count))
        at += 10 * count
    return [*found[:-1], replace(found[-1], latest=True)]


def believed(*seen: tuple[str, int], recent: int = 0) -> set[str]:
    names = {A: "a", B: "b", b"": "-"}
    return {names[confirmed.row.verified] for confirmed in debounce(rows(*seen), recent)}


def test_a_single_probe_is_not_believed() -> None:
    assert believed(("a", 1)) == set()
    assert believed(("a", 2)) == {"a"}


def test_until_a_second_probe_confirms_a_change_the_state_before_is_believed() -> None:
    assert believed(("a", 9), ("b", 1)) == {"a"}
    assert believed(("a", 9), ("b", 2)) == {"b"}


def test_a_problem_resolves_after_two_good_probes() -> None:
    assert believed(("a", 9), ("b", 5), ("a", 1), recent=1135) == {"b"}
    assert believed(("a", 9), ("b", 5), ("a", 2), recent=1135) == {"a"}


def test_an_unreachable_server_is_confirmed_even_if_the_reasons_differ() -> None:
    assert believed(("a", 9), ("-", 1), ("-", 1), recent=1095) == {"-"}


def test_both_chains_of_an_alternating_server_are_believed() -> None:
    assert believed(("a", 1), ("b", 1), ("a", 1), ("b", 1)) == {"a", "b"}
    assert believed(("a", 90), ("b", 1), ("a", 3), ("b", 1)) == {"a", "b"}


def test_an_alternating_chain_is_dropped_when_it_was_not_seen_recently() -> None:
    assert believed(("b", 1), ("a", 1), ("b", 1), ("a", 90), recent=1500) == {"a"}


def test_an_address_that_the_name_no_longer_resolves_to_is_not_believed() -> None:
    gone = [replace(row, latest=False) for row in rows(("b", 9))]
    assert debounce(gone, 2000) == ()


def test_the_previous_chain_and_the_time_of_the_change_are_known() -> None:
    (found,) = debounce(rows(("a", 9), ("-", 2), ("b", 3), ("-", 2), ("b", 4)), 9999)
    assert found.before is not None
    assert found.before.verified == A
    assert found.changed_at == 1110  # the time without an answer is not a change
    (found,) = debounce(rows(("a", 9)), 0)
    assert found.before is None
