"""Rules of the provider data, each of them broken: see ``tests/test_mutations.py``."""

from __future__ import annotations

from tests._mutation import Mutation

_DATA, _SETS = "certpin/providers/data.py", "certpin/providers/sets.py"
_T = "tests/providers/"

MUTATIONS = [
    Mutation(
        "no expired root in a set",
        _DATA,
        "if root.not_after >= day)",
        "if root)",
        f"{_T}test_sets.py::test_a_root_is_in_the_set_on_its_last_day_and_not_after",
    ),
    Mutation(
        "a clock before the data",
        _DATA,
        "        if today < self.edition - _CLOCK_TOLERANCE:",
        "        if False:",
        f"{_T}test_data.py::test_a_clock_before_the_edition_is_an_error",
    ),
    Mutation(
        "an unknown provider",
        _DATA,
        "        if name in self.providers:\n            return self.providers[name]\n",
        "        return self.providers.get(name, next(iter(self.providers.values())))\n",
        f"{_T}test_data.py::test_an_unknown_provider_is_an_error_with_a_similar_name",
    ),
    Mutation(
        "outdated data changes nothing",
        _SETS,
        "self.dropped) and not self.newer",
        "self.dropped)",
        f"{_T}test_sets.py::test_a_policy_of_a_later_edition_is_never_changed",
    ),
    Mutation(
        "pins of unknown providers stay",
        _SETS,
        "if each.live and set(each.provider) & {*data.providers}]",
        "if each.live and each.provider]",
        f"{_T}test_sets.py::test_an_unknown_provider_is_named_and_its_pins_stay",
    ),
    Mutation(
        "a complete set has every root",
        _SETS,
        "if {root.pin for root in provider.roots_at(day)} <= live",
        "if {root.pin for root in provider.roots_at(day)} & live",
        f"{_T}test_sets.py::test_a_set_is_complete_with_every_root",
    ),
    Mutation(
        "a removed pin is no backup of a set",
        _SETS,
        "    live = {each.pin for each in entries if each.live}",
        "    live = {each.pin for each in entries}",
        f"{_T}test_sets.py::test_a_set_is_complete_with_every_root",
    ),
    Mutation(
        "lost roots are no backup",
        "certpin/pins/policy.py",
        "for entry in self.pins if entry.usable for name in entry.provider]",
        "for entry in self.pins for name in entry.provider]",
        f"{_T}test_sets.py::test_two_lost_roots_are_no_backup",
    ),
    Mutation(
        "no providers for Dart",
        "certpin/formats/flutter/published.py",
        'note="", provider=(), not_after=None)',
        'note="")',
        "tests/formats/test_json.py::test_providers_are_exported_only_to_json",
    ),
]
