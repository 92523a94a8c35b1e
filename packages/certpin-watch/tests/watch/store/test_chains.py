"""Chains are stored once and read unchanged."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from certpin_watch.store.chains import (
    NO_CHAIN,
    chain_record,
    insert_observed_chains,
    read_certificates,
    read_chains,
)
from certpin_watch.store.tables.observations import CERTIFICATES, CHAINS

if TYPE_CHECKING:
    from certpin_watch.store import Store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
LEAF, OTHER, ABOVE = b"leaf", b"other", b"above"


def test_a_chain_is_stored_once_and_read_unchanged(sqlite_store: Store) -> None:
    chains = [(LEAF, ABOVE), (OTHER, ABOVE), (LEAF, ABOVE), (), (LEAF,)]
    with sqlite_store.write() as connection:
        digests = insert_observed_chains(connection, chains, NOW)
        assert insert_observed_chains(connection, chains, NOW) == digests
    assert digests[0] == digests[2]
    assert digests[3] == NO_CHAIN
    with sqlite_store.read() as connection:
        found = read_chains(connection, [*digests, b"unknown"])
        counts = [
            connection.scalar(select(func.count()).select_from(table))
            for table in (CERTIFICATES, CHAINS)
        ]
        sha = hashlib.sha256(LEAF).digest()
        assert read_certificates(connection, [sha]) == {sha: LEAF}
    assert [found.get(digest, ()) for digest in digests] == chains
    assert counts == [3, 3]


def test_a_chain_digest_hashes_the_certificate_digests(sqlite_store: Store) -> None:
    expected = hashlib.sha256(
        hashlib.sha256(LEAF).digest() + hashlib.sha256(ABOVE).digest()
    ).digest()
    assert chain_record((LEAF, ABOVE)).digest == expected
    with sqlite_store.write() as connection:
        assert insert_observed_chains(connection, [[LEAF, ABOVE]], NOW) == [expected]


@pytest.mark.medium
def test_more_chains_than_fit_in_one_statement(sqlite_store: Store) -> None:
    chains = [(f"{number}".encode(), ABOVE) for number in range(1200)]
    with sqlite_store.write() as connection:
        digests = insert_observed_chains(connection, chains, NOW)
    with sqlite_store.read() as connection:
        assert len(read_chains(connection, digests)) == 1200


@given(st.lists(st.lists(st.binary(max_size=8), max_size=4), max_size=8))
def test_different_chains_have_different_digests(chains: list[list[bytes]]) -> None:
    digests = {tuple(chain): chain_record(chain).digest for chain in chains}
    assert len(set(digests.values())) == len(digests)
