"""Mutations of the code about public roots: each edit of the source breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_FACTS, _RECORDS = "certpin/roots/facts.py", "certpin/roots/records.py"
_LINT, _CHECKUP = "certpin/lint/roots.py", "certpin/probe/checkup.py"
_T = "tests/roots/test_facts.py::"
_RULES, _CHECKS = "tests/lint/test_roots.py::", "tests/probe/test_checkup.py::"

MUTATIONS = [
    Mutation(
        "a removal is known from its day on",
        _RECORDS,
        "return end if end is not None and end <= today else None",
        "return end",
        f"{_T}test_all_roots_that_mozilla_removed_in_april_2026_are_known",
    ),
    Mutation(
        "a root that came back",
        _RECORDS,
        "end = begun[-1][1] if begun else None",
        "end = begun[0][1] if begun else None",
        f"{_T}test_a_root_that_came_back_is_not_removed_until_it_left_again",
    ),
    Mutation(
        "publication of the schedule",
        _FACTS,
        "if root.valid_from < each.made_before and each.published <= today",
        "if root.valid_from < each.made_before",
        f"{_T}test_a_removal_by_age_is_known_from_its_publication_on",
    ),
    Mutation(
        "a removal that is overdue",
        _FACTS,
        "if step.day > today or self.edition < step.day:",
        "if step.day > today:",
        f"{_T}test_a_removal_by_age_stays_due_until_a_release_shows_an_exception",
    ),
    Mutation(
        "publication of a distrust",
        _FACTS,
        "(each for each in self.announcements if each.published <= today)",
        "(each for each in self.announcements)",
        f"{_T}test_a_distrust_is_not_known_before_it_was_published",
    ),
    Mutation(
        "publication of a package",
        _FACTS,
        "if root.distrust_after is not None and published <= today:",
        "if root.distrust_after is not None:",
        f"{_T}test_a_distrust_is_not_known_before_it_was_published",
    ),
    Mutation(
        "a removal is the main problem",
        _FACTS,
        "        if removals:\n",
        "        if removals == past:\n",
        f"{_RULES}test_the_removal_of_a_root_says_more_than_its_earlier_distrust",
    ),
    Mutation(
        "roots that leave soon",
        _LINT,
        "if today < each.day < today + EXPIRES_SOON), None)",
        "if today < each.day), None)",
        f"{_RULES}test_a_root_leaves_soon_for_half_a_year_before_its_day",
    ),
    Mutation(
        "roots that left",
        _LINT,
        "if each.day <= today), None)",
        "if each.day < today), None)",
        f"{_RULES}test_a_removed_root_is_found_in_a_trust_file_and_on_a_path",
    ),
    Mutation(
        "a cross-sign has a key of the path",
        _LINT,
        "crossed = certificate not in path and certificate.spki_sha256 in keys",
        "crossed = certificate not in path",
        f"{_RULES}test_a_stranger_that_the_server_sends_is_no_cross_sign",
    ),
    Mutation(
        "a root that left, in a check",
        _CHECKUP,
        "if not spared and days < max(least_days, 1):",
        "if not spared and 0 < days < least_days:",
        f"{_CHECKS}test_a_root_that_left_a_store_is_a_finding_with_its_day",
    ),
    Mutation(
        "a distrust spares older certificates",
        _CHECKUP,
        'fact.kind == "distrusted" and issued < fact.day <= now.date()',
        "False",
        f"{_CHECKS}test_a_distrust_spares_certificates_from_before_its_day",
    ),
]
