"""Mutations of the exported Dart code for signed sets: each removes a rule, and a test must fail.

``test_mutations.py`` runs them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_DART = "certpin/formats/flutter/dart/src/"
_VECTORS = "tests/formats/flutter/test_signed.py::test_dart_decides_as_python_tuf"
_SIGNED = "tests/formats/flutter/test_signed.py::test_"
_PACKAGE = "tests/formats/flutter/test_package.py::test_the_other_tests_of_the_package_pass[3.7.3]"
_RULES = "tests/formats/flutter/test_signed_rules.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _DART + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a root is signed as the one before demands",
        "updates/trust.dart",
        "  requireSigned(before, 'root', root, verifier);\n",
        "",
        f"{_VECTORS}[sign_a_root_with_the_new_keys_alone]",
    ),
    _rule(
        "a root is signed as it demands itself",
        "updates/trust.dart",
        "1);\n  requireSigned(root, 'root', root, verifier);\n",
        "1);\n",
        f"{_VECTORS}[sign_a_root_with_the_old_keys_alone]",
    ),
    _rule(
        "no root is left out",
        "updates/trust.dart",
        "  _requireVersion(root, before.version + 1);\n",
        "",
        f"{_VECTORS}[skip_a_root]",
    ),
    _rule(
        "a threshold is reached",
        "updates/roles.dart",
        "counted.length < needed",
        "counted.isEmpty",
        f"{_VECTORS}[sign_targets_with_too_few_keys]",
    ),
    _rule(
        "a key counts once",
        "updates/roles.dart",
        "!counted.contains(name) &&",
        "name != '' &&",
        _RULES + "a_key_with_several_ids_counts_once",
    ),
    _rule(
        "no older timestamp",
        "updates/trust.dart",
        "  _requireForward(found.version, before.version);\n",
        "",
        f"{_VECTORS}[roll_back_the_daily_timestamp]",
    ),
    _rule(
        "no older targets",
        "updates/trust.dart",
        "      _requireForward(version, namedIn(before, name).version);\n",
        "      if (version < 0) {\n        return before;\n      }\n",
        f"{_VECTORS}[roll_back_the_targets]",
    ),
    _rule(
        "no role of the last snapshot is missing",
        "updates/trust.dart",
        "objectAt(before.signed, 'meta').keys)",
        "['targets.json'])",
        "tests/formats/flutter/test_conformance.py::test_dart_does_what_the_specification_says"
        "[a_snapshot_that_no_longer_names_a_role]",
    ),
    _rule(
        "metadata is the named one",
        "updates/trust.dart",
        "  requireBytes(bytes, named.length, named.sha256);\n",
        "",
        f"{_VECTORS}[sign_the_same_version_twice]",
    ),
    _rule(
        "a freeze is seen",
        "updates/roles.dart",
        "if (!now.isBefore(found.expires))",
        "if (found.expires.isBefore(now))",
        f"{_VECTORS}[freeze_at_the_very_moment]",
    ),
    _rule(
        "pins do not go back",
        "updates/trust.dart",
        "pins.version < current.version",
        "pins.version < 0",
        f"{_VECTORS}[go_back_in_one_version]",
    ),
    _rule(
        "pins are the promised ones",
        "updates/trust.dart",
        "  requireBytes(bytes, promise.length, promise.sha256);\n",
        "",
        f"{_VECTORS}[cut_a_file_short]",
    ),
    _rule(
        "stored files are verified",
        "updates/trust.dart",
        "  requireSigned(root, role, found, verifier);\n",
        "",
        _SIGNED + "a_set_without_a_valid_root_is_not_used",
    ),
    _rule(
        "signatures are verified",
        "updates/roles.dart",
        "return verifier.verify(scheme, point, r, s, message);",
        "return s.isNotEmpty;",
        _SIGNED + "the_first_root_signs_itself",
    ),
    _rule(
        "compromised keys of a signed set are refused",
        "updates/policies.dart",
        "      compromised.add(pin);\n",
        "      pins.add(pin);\n",
        "tests/formats/flutter/test_signed_pins.py"
        "::test_compromised_keys_of_a_signed_set_are_refused",
    ),
    _rule(
        "keys are points of their curve",
        "updates/keys.dart",
        "    return (y * y - right) % p == BigInt.zero;\n",
        "    return right != y;\n",
        _RULES + "a_key_that_is_not_a_point_of_its_curve_is_refused",
    ),
    _rule(
        "coordinates of keys are reduced",
        "updates/keys.dart",
        "    if (x >= p || y >= p) {\n",
        "    if (x == p) {\n",
        _RULES + "a_key_that_is_not_a_point_of_its_curve_is_refused",
    ),
    _rule(
        "the root in the app is verified before anything is stored",
        "updates/pin_updates.dart",
        "      final begun = _trust ?? _begun();\n      final text = await _read();\n"
        "      final trust = _trust ??= begun;\n",
        "      final text = await _read();\n"
        "      if (text == null) {\n        return;\n      }\n"
        "      final trust = _trust ??= _begun();\n",
        _PACKAGE,
    ),
    _rule(
        "a refresh begins with what another isolate has stored",
        "updates/pin_updates.dart",
        "      _trust ??= _begun();\n      await _catchUp();\n",
        "      _trust ??= _begun();\n",
        _PACKAGE,
    ),
    _rule(
        "what another isolate stores during a refresh is not lost",
        "updates/pin_updates.dart",
        "      await _catchUp();\n    }\n    throw",
        "      await _read();\n    }\n    throw",
        _PACKAGE,
    ),
    _rule(
        "a stored state does not replace a newer one",
        "updates/state.dart",
        "stored.version > known.version ? stored : known",
        "stored",
        _PACKAGE,
    ),
    _rule(
        "an app that lost the lock while it was suspended stores nothing",
        "updates/storage.dart",
        "await _owner() != owner || await",
        "await",
        _PACKAGE,
    ),
    _rule(
        "the text of an app that lost the lock replaces nothing",
        "updates/storage.dart",
        "      await _deleteIfThere(_textOf(owner));\n",
        "",
        _PACKAGE,
    ),
    _rule(
        "a root is not of another pin set",
        "updates/trust.dart",
        "  _requirePinSet(root, before, name);\n",
        "",
        _SIGNED + "a_root_of_another_pin_set_is_refused[bank-casino]",
    ),
    _rule(
        "the root in the app is of its pin set",
        "updates/trust.dart",
        "  _requirePinSet(root, root, name);\n",
        "",
        _SIGNED + "the_root_in_the_app_is_of_its_pin_set",
    ),
    _rule(
        "a root with the name of its pin set is followed by none without",
        "updates/trust.dart",
        "  if (!root.signed.containsKey(pinSetField) &&\n"
        "      !before.signed.containsKey(pinSetField)) {\n",
        "  if (!root.signed.containsKey(pinSetField)) {\n",
        _SIGNED + "a_root_of_another_pin_set_is_refused[bank-None]",
    ),
    _rule(
        "a stored number of a root is not trusted",
        "updates/state.dart",
        "number < newest ? number : newest",
        "number",
        _SIGNED + "a_stored_number_of_a_root_that_does_not_exist_lifts_no_limit",
    ),
]
