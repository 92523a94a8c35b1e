"""Mutations of the exported Dart: each removes a rule, compiles, and makes a test fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import test_mutations
from tests.formats.flutter import _vm
from tests.formats.flutter.mutations_connections import MUTATIONS as CONNECTIONS
from tests.formats.flutter.mutations_signed import MUTATIONS as SIGNED

if TYPE_CHECKING:
    from pathlib import Path

    from tests._mutation import Mutation
    from tests.test_mutations import Warm

pytestmark = [pytest.mark.slow, pytest.mark.mutation, pytest.mark.peer("dart")]

warm = test_mutations.warm

PATIENCE = 110  # seconds: a VM starts, and compiles
_FACES = ("certpin.dart", "updates.dart")


@pytest.mark.parametrize(
    "mutation", [pytest.param(each, id=f"{each.rule} {each.file}") for each in CONNECTIONS + SIGNED]
)
def test_removing_a_rule_fails_its_test(mutation: Mutation, warm: Warm, tmp_path: Path) -> None:
    with test_mutations.without(mutation, warm.source):
        library = warm.source / "certpin/formats/flutter/dart"
        imports = [f"import 'package:certpin/{face}';" for face in _FACES]
        program = tmp_path / "program.dart"
        program.write_text("\n".join([*imports, "void main() {}"]), encoding="utf-8")
        packages = _vm.package_config(tmp_path, {"certpin": library})
        assert _vm.compile_kernel(program, packages, tmp_path / "program.dill") == ""
    test_mutations.notices(mutation, warm, PATIENCE)
