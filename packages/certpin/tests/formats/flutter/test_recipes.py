"""The Dart package's recipes (examples for other packages) connect to real servers as they should.

The other packages can't be installed here. The substitutes in ``vm/packages`` have the same types,
and open connections as those packages do (``docs/reference/formats-proof.md`` names the versions).
``test_compiles`` compiles each recipe.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from tests.formats.flutter import _vm
from tests.formats.flutter._vm import PACKAGE, ROOT
from tests.formats.interop import _recipes

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.dart import DartVM

pytestmark = [pytest.mark.slow, pytest.mark.peer("dart")]

FOLDER = PACKAGE / "example/recipes"
RECIPES = sorted(FOLDER.glob("*.dart"))
PROGRAM = _vm.HERE / "recipes.dart"
ACCEPTED = {"result": "accepted", "received": True}
# The recipes that take a socket or a client, and so enforce pins of the server's key.
PINNED = ("web_socket_channel", "mqtt over a WebSocket", "grpc")
ANCHORED = ("mqtt", "postgres")


@pytest.fixture(scope="module", params=_vm.VERSIONS, ids=lambda vm: vm.version)
def vm(request: pytest.FixtureRequest) -> DartVM:
    """Return each Dart VM in turn."""
    chosen: DartVM = request.param
    return chosen


@pytest.fixture(scope="module")
def seen(vm: DartVM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of each recipe at three servers, by recipe and server.

    ``honest`` has the pinned key, ``rogue`` another key of the same authority, and ``foreign`` a
    certificate of another authority.
    """
    folder = tmp_path_factory.mktemp("recipes")
    root = Authority("Root")
    (folder / "root.pem").write_bytes(root.pem)
    honest = root.issue("localhost")
    honest.write(folder, "honest")
    root.issue("localhost").write(folder, "rogue")
    Authority("Foreign Root").issue("localhost").write(folder, "foreign")
    packages = _vm.package_config(folder, {})
    done = _vm.run(PROGRAM, packages, str(folder), str(honest.pin), vm=vm)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", PINNED)
def test_a_recipe_with_a_pinned_socket_or_client_compares_the_key(
    name: str, seen: dict[str, Any]
) -> None:
    assert seen[name]["honest"] == ACCEPTED
    assert seen[name]["rogue"] == {"result": "PinMismatchException", "received": False}
    assert seen[name]["foreign"] == {"result": "TlsHandshakeException", "received": False}


@pytest.mark.parametrize("name", ANCHORED)
def test_a_recipe_with_anchors_accepts_each_key_below_them_only(
    name: str, seen: dict[str, Any]
) -> None:
    assert seen[name]["honest"] == seen[name]["rogue"] == ACCEPTED
    assert seen[name]["foreign"] == {"result": "TlsHandshakeException", "received": False}


@pytest.mark.parametrize("name", ANCHORED)
def test_a_recipe_with_anchors_refuses_pins_of_the_key(name: str, seen: dict[str, Any]) -> None:
    refused = {"result": "UnpinnedRequestException", "received": False}
    assert set(map(str, seen[f"{name} with leaf pins"].values())) == {str(refused)}


def test_the_errors_of_dio_and_http_keep_their_type(seen: dict[str, Any]) -> None:
    assert seen["errors"] == {
        "dio, refused": "PinMismatchException",
        "dio, handshake": "TlsHandshakeException",
        "dio, socket": "NetworkException",
        "dio, its own timer": "NetworkException",
        "dio, receiving": "NetworkException",
        "dio, a response": None,
        "dio, cancelled": None,
        "http, refused": "PinMismatchException",
        "http, network": "NetworkException",
        "http, the host": "bank.example",
        "http, other": None,
    }


def test_overrides_after_the_first_web_socket_have_no_effect(vm: DartVM, tmp_path: Path) -> None:
    """dart:io uses the HTTP overrides that are set before its first WebSocket.

    The README therefore recommends to set them first.
    """
    done = _vm.run(PROGRAM, _vm.package_config(tmp_path, {}), "late", vm=vm)
    assert done.stdout == "not pinned\n", done.stderr


def test_every_recipe_is_in_the_readme_and_was_checked() -> None:
    names = {path.stem for path in RECIPES}
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Recipes")[2].partition("\n## ")[0]
    assert set(re.findall(r"\(example/recipes/(\w+)\.dart\)", table)) == names
    assert {recipe for recipe, *_ in _recipes.RECIPES} == names
    page = (ROOT / "docs/reference/formats-proof.md").read_text(encoding="utf-8")
    assert page.endswith(_recipes.recipes_text()), "make proof"
