"""Source changes that remove a rule from the comparison of verifiers; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_FUZZ = "certpin/lab/fuzz"
_CHAINS = "tests/lab/fuzz/test_chains.py::"
_COMPARE = "tests/lab/fuzz/test_compare.py::"
_RUN = "tests/lab/fuzz/test_run.py::"

MUTATIONS = [
    Mutation(
        "the same seed signs the same",
        f"{_FUZZ}/certificate.py",
        "ec.ECDSA(hashes.SHA256(), deterministic_signing=True)",
        "ec.ECDSA(hashes.SHA256())",
        f"{_CHAINS}test_equal_seeds_give_equal_chains",
    ),
    Mutation(
        "a seed decides its keys",
        f"{_FUZZ}/certificate.py",
        'f"certpin fuzz key {seed} {plan.owner} {plan.kind}"',
        'f"certpin fuzz key {plan.owner} {plan.kind}"',
        f"{_CHAINS}test_the_chains_are_the_same_on_every_python",
    ),
    Mutation(
        "one mutation for each field",
        f"{_FUZZ}/chains.py",
        "            found.setdefault((change.certificate, change.field), change)\n",
        "            found[len(found), change.field] = change\n",
        f"{_CHAINS}test_no_two_mutations_change_the_same_field",
    ),
    Mutation(
        "a finding is an acceptance",
        f"{_FUZZ}/compare.py",
        "return Disagreement.ACCEPTED if accepts[CLIENT] else Disagreement.REFUSED",
        "return Disagreement.REFUSED if accepts[CLIENT] else Disagreement.ACCEPTED",
        f"{_COMPARE}test_the_kind_of_a_disagreement",
    ),
    Mutation(
        "all peers refuse a finding",
        f"{_FUZZ}/compare.py",
        "    if len(peers) > 1:\n",
        "    if not accepts[CLIENT] and len(peers) > 1:\n",
        f"{_COMPARE}test_the_kind_of_a_disagreement",
    ),
    Mutation(
        "the smallest subset first",
        f"{_FUZZ}/compare.py",
        "    for number in range(len(recipe.mutations)):\n",
        "    for number in reversed(range(len(recipe.mutations))):\n",
        f"{_COMPARE}test_no_smaller_subset_keeps_the_disagreement",
    ),
    Mutation(
        "a minimal chain keeps the verdict of the client",
        f"{_FUZZ}/compare.py",
        "        return client.accepts is accepts[CLIENT]\n",
        "        return True\n",
        f"{_COMPARE}test_a_minimal_chain_keeps_the_verdict_of_the_client",
    ),
    Mutation(
        "a client that refuses everything proves nothing",
        f"{_FUZZ}/compare.py",
        "    if not good:\n        return run\n",
        "    if not good:\n        return replace(run, problem='')\n",
        f"{_COMPARE}test_a_client_that_refuses_every_good_chain_proves_nothing",
    ),
    Mutation(
        "a good chain is accepted in the end too",
        f"{_FUZZ}/compare.py",
        'problem="" if last.accepts else',
        'problem="" if True else',
        f"{_COMPARE}test_a_client_that_refuses_a_good_chain_in_the_end_proves_nothing",
    ),
    Mutation(
        "mutations of a refused chain prove nothing",
        f"{_FUZZ}/compare.py",
        "        if recipe.base not in good:\n",
        "        if not good:\n",
        f"{_COMPARE}test_mutations_of_a_good_chain_that_the_client_refuses_are_not_compared",
    ),
    Mutation(
        "no verdict is no refusal",
        f"{_FUZZ}/compare.py",
        "        if client.accepts is None:\n",
        "        if client.accepts is None and not client.why:\n",
        f"{_COMPARE}test_a_chain_without_a_verdict_is_not_compared",
    ),
    Mutation(
        "data after an error is an acceptance",
        f"{_FUZZ}/compare.py",
        "found = accepts.get(result.verdict) if result.verdict else None",
        "found = bool(accepts.get(result.verdict)) if result.verdict else False",
        f"{_RUN}test_a_correct_client_of_each_style_accepts_the_good_chain[none]",
    ),
    Mutation(
        "what OpenSSL can't read is refused",
        f"{_FUZZ}/peers.py",
        "return PeerVerdict(accepts=False, why=exc.problem)",
        "return PeerVerdict(accepts=None, why=exc.problem)",
        f"{_RUN}test_openssl_refuses_what_it_cannot_read",
    ),
    Mutation(
        "the files of a chain are deleted",
        "certpin/lab/lab.py",
        "                shutil.rmtree(folder)\n",
        "                pass\n",
        f"{_RUN}test_the_files_of_a_chain_are_deleted_after_its_run",
    ),
    Mutation(
        "equal chains share their files",
        f"{_FUZZ}/compare.py",
        "                if not self._running[chain.own]:\n",
        "                if True:\n",
        f"{_RUN}test_equal_chains_that_run_at_once_keep_their_files_until_the_last_ends",
    ),
    Mutation(
        "a finding is a problem",
        "certpin/cli/fuzzing.py",
        "    if run.findings:\n        return PROBLEM_FOUND\n",
        "",
        "tests/cli/test_fuzz.py::"
        "test_a_careless_client_is_found_and_its_case_file_repeats_the_finding",
    ),
]
