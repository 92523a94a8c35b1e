"""Mutations of the exports: without a rule, an attack on the real client must succeed.

`make mutations` runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import test_mutations
from tests.formats.mutations_programs import PEERS

if TYPE_CHECKING:
    from tests._mutation import Mutation
    from tests.test_mutations import Warm

warm = test_mutations.warm

_MARKED = [
    pytest.param(mutation, id=f"{mutation.rule}", marks=pytest.mark.peer(peer))
    for peer, mutations in PEERS.items()
    for mutation in mutations
]


@pytest.mark.mutation
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", _MARKED)
def test_removing_a_rule_fails_its_test(mutation: Mutation, warm: Warm) -> None:
    test_mutations.notices(mutation, warm, 300)  # its clients start, and meet the whole matrix
