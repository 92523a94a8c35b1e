"""The rules on signed sets in the exported Dart, removed one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_DART = "certpin/formats/flutter/dart/"
_VECTORS = "tests/formats/flutter/test_signed.py::test_dart_decides_as_python_tuf"
_SIGNED = "tests/formats/flutter/test_signed.py::test_"
_RULES = "tests/formats/flutter/test_signed_rules.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _DART + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a root is signed as the one before demands",
        "signed_trust.dart",
        "  requireSigned(before, 'root', root, verifies);\n",
        "",
        f"{_VECTORS}[sign_a_root_with_the_new_keys_alone]",
    ),
    _rule(
        "a root is signed as it demands itself",
        "signed_trust.dart",
        "1);\n  requireSigned(root, 'root', root, verifies);\n",
        "1);\n",
        f"{_VECTORS}[sign_a_root_with_the_old_keys_alone]",
    ),
    _rule(
        "no root is left out",
        "signed_trust.dart",
        "  _requireVersion(root, before.version + 1);\n",
        "",
        f"{_VECTORS}[skip_a_root]",
    ),
    _rule(
        "a threshold is reached",
        "signed_roles.dart",
        "counted.length < needed",
        "counted.isEmpty",
        f"{_VECTORS}[sign_targets_with_too_few_keys]",
    ),
    _rule(
        "a key counts once",
        "signed_roles.dart",
        "!counted.contains(name) &&",
        "name != '' &&",
        _RULES + "a_key_with_several_ids_counts_once",
    ),
    _rule(
        "no older timestamp",
        "signed_trust.dart",
        "  _requireForward(found.version, before.version);\n",
        "",
        f"{_VECTORS}[roll_back_the_daily_timestamp]",
    ),
    _rule(
        "no older targets",
        "signed_trust.dart",
        "    _requireForward(named.version, namedIn(before, 'targets.json').version);\n",
        "",
        f"{_VECTORS}[roll_back_the_targets]",
    ),
    _rule(
        "metadata is the named one",
        "signed_trust.dart",
        "  requireBytes(bytes, named.length, named.sha256);\n",
        "",
        f"{_VECTORS}[sign_the_same_version_twice]",
    ),
    _rule(
        "a freeze is seen",
        "signed_roles.dart",
        "if (!now.isBefore(found.expires))",
        "if (found.expires.isBefore(now))",
        f"{_VECTORS}[freeze_at_the_very_moment]",
    ),
    _rule(
        "pins do not go back",
        "signed_trust.dart",
        "pins.version < current.version",
        "pins.version < 0",
        f"{_VECTORS}[go_back_in_one_version]",
    ),
    _rule(
        "pins are the promised ones",
        "signed_trust.dart",
        "  requireBytes(bytes, promise.length, promise.sha256);\n",
        "",
        f"{_VECTORS}[cut_a_file_short]",
    ),
    _rule(
        "stored files are verified",
        "signed_trust.dart",
        "  requireSigned(root, role, found, verifies);\n",
        "",
        _SIGNED + "a_set_without_a_valid_root_is_not_used",
    ),
    _rule(
        "signatures are verified",
        "signed_verifier.dart",
        "return signer.verifySignature(message, ECSignature(_number(r), _number(s)));",
        "return signer.hashCode >= 0;",
        _SIGNED + "the_first_root_signs_itself",
    ),
    _rule(
        "compromised keys of a signed set are refused",
        "signed_policies.dart",
        "      compromised.add(pin);\n",
        "      pins.add(pin);\n",
        "tests/formats/flutter/test_signed_pins.py"
        "::test_compromised_keys_of_a_signed_set_are_refused",
    ),
]
