"""Mutation tests of python-tuf: without a rule that certpin relies on, its case must fail.

``tests.updates.mutations`` has the mutations of certpin's own rules. python-tuf is an installed
package, so these tests compile a method again without the rule.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api import _payload
from tuf.ngclient._internal import trusted_metadata_set
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from tests.updates.conformance.test_conformance import play

if TYPE_CHECKING:
    from pathlib import Path

# The owner and the name of a function, its text, the text without the rule, and a case.
RULES: list[tuple[Any, str, str, str, str]] = [
    (
        TrustedMetadataSet,
        "update_root",
        "new_root.version != self.root.version + 1",
        "False",
        "a_root_whose_version_skips_one",
    ),
    (
        TrustedMetadataSet,
        "update_root",
        "new_root.verify_delegate(Root.type, new_root_bytes, new_root_signatures)",
        "pass",
        "a_root_that_its_own_keys_have_not_signed",
    ),
    (
        TrustedMetadataSet,
        "update_root",
        "Root, data, self.root",
        "Root, data, None",
        "a_root_that_the_old_keys_have_not_signed",
    ),
    (
        TrustedMetadataSet,
        "update_timestamp",
        "self.root.is_expired(self.reference_time)",
        "False",
        "an_expired_root",
    ),
    (
        TrustedMetadataSet,
        "update_timestamp",
        "new_timestamp.version < self.timestamp.version",
        "False",
        "a_timestamp_of_a_lower_version",
    ),
    (
        TrustedMetadataSet,
        "update_timestamp",
        "new_snapshot_meta.version < snapshot_meta.version",
        "False",
        "a_timestamp_that_names_an_older_snapshot",
    ),
    (
        TrustedMetadataSet,
        "_check_final_timestamp",
        "self.timestamp.is_expired(self.reference_time)",
        "False",
        "the_old_files_for_ever",
    ),
    (
        TrustedMetadataSet,
        "update_snapshot",
        "            snapshot_meta.verify_length_and_hashes(data)\n",
        "            pass\n",
        "a_snapshot_with_another_digest",
    ),
    (
        TrustedMetadataSet,
        "update_snapshot",
        "new_fileinfo.version < fileinfo.version",
        "False",
        "a_snapshot_that_names_older_targets",
    ),
    (
        TrustedMetadataSet,
        "update_snapshot",
        "if new_fileinfo is None:\n",
        "if new_fileinfo is None:\n                    continue\n",
        "a_snapshot_that_no_longer_names_a_role",
    ),
    (
        TrustedMetadataSet,
        "_check_final_snapshot",
        "self.snapshot.is_expired(self.reference_time)",
        "False",
        "snapshot that expires now",
    ),
    (
        TrustedMetadataSet,
        "update_delegated_targets",
        "version != meta.version",
        "False",
        "metadata_that_names_no_digests",  # without it, the stored targets would be used for ever
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "targets signed by no key",
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "targets changed after signing",
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "targets signed by the key of timestamp",
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "targets signed by two of three",
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "a_timestamp_goes_back_after_its_key_was_replaced",  # the stored one is verified again
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "a_snapshot_goes_back_after_both_keys_were_replaced",
    ),
    (
        trusted_metadata_set,
        "_load_from_metadata",
        "if delegator:",
        "if delegator and role.type == 'root':",
        "a_key_of_another_kind_than_its_scheme",
    ),
    (
        _payload.TargetFile,
        "verify_length_and_hashes",
        "self._verify_hashes(data, self.hashes)",
        "pass",
        "targets' files of the same length",
    ),
    (
        _payload.Role,
        "__init__",
        "if threshold < 1:",
        "if False:",
        "targets with a threshold of zero",
    ),
]


def _without(owner: Any, name: str, old: str, new: str, patch: pytest.MonkeyPatch) -> None:
    function = inspect.getattr_static(owner, name)
    text = textwrap.dedent(inspect.getsource(function))
    indented = textwrap.indent(text, "    " * isinstance(owner, type))
    assert indented.count(old) == 1, f"{old!r} stands once in {name}"
    made: dict[str, Any] = {}
    source = textwrap.dedent(indented.replace(old, new))
    exec(
        compile(f"from __future__ import annotations\n{source}", name, "exec"),
        function.__globals__,
        made,
    )
    patch.setattr(owner, name, made[name])


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule[1]}: {rule[-1]}" for rule in RULES])
def test_a_case_fails_without_its_rule(
    rule: tuple[Any, str, str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(*rule[:-1], monkeypatch)
    with pytest.raises(AssertionError):
        play(rule[-1], tmp_path, monkeypatch)
