"""Every public name of the Dart package has a doc comment, as pub.dev's scoring asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.apps._dart import NEEDS_PARSER
from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

pytestmark = NEEDS_PARSER

LIBRARIES = ("certpin.dart", "updates.dart")
EXPORT = re.compile(r"^export '([\w/.]+)'(?:\s+show ([\w,\s]+))?;", re.MULTILINE)
# The nodes of declarations, and those that contain their names. The body of a function follows its
# signature as a separate node.
DECLARATIONS = {
    *("class_definition", "enum_declaration", "extension_declaration", "type_alias"),
    *("function_signature", "getter_signature", "static_final_declaration_list"),
}
MEMBERS = {"declaration", "method_signature", "enum_constant"}
BODIES = {"class_body", "enum_body", "extension_body"}
NAMES = {
    *("initialized_identifier", "static_final_declaration", "identifier_list"),
    *("initialized_identifier_list", "static_final_declaration_list", "declaration"),
}


def parse(text: str) -> Node:
    """Parse Dart source, which must have no syntax errors. Return the root of its syntax tree."""
    import tree_sitter_dart
    from tree_sitter import Language, Parser

    root: Node = Parser(Language(tree_sitter_dart.language())).parse(text.encode()).root_node
    assert not root.has_error
    return root


def undocumented(text: str, shown: set[str] | None = None) -> list[str]:
    """Return the public names of a Dart file that have no doc comment.

    Args:
        text: the source.
        shown: check only these names, those in the ``show`` of an export; ``None`` checks all.
    """
    found = []
    for node, documented, _ in _declared(parse(text), DECLARATIONS):
        name = _names(node)[-1]
        if name.startswith("_") or (shown is not None and name not in shown):
            continue
        if not documented:
            found.append(name)
        for body in (child for child in node.named_children if child.type in BODIES):
            for member, is_documented, overrides in _declared(body, MEMBERS):
                names = _names(member)
                is_private = any(each.startswith("_") for each in names)
                if not (is_documented or overrides or is_private):
                    found.append(f"{name}.{names[-1]}")
    return found


def _declared(parent: Node, kinds: set[str]) -> Iterator[tuple[Node, bool, bool]]:
    """Yield the declarations below a syntax node that are of these kinds.

    Each comes with whether it has a doc comment, and whether it has ``@override``.
    """
    documented = overrides = False
    for node in parent.named_children:
        if node.type == "documentation_comment":
            documented = True
        elif node.text == b"@override":
            overrides = True
        elif node.type in kinds:
            yield node, documented, overrides
            documented = overrides = False
        elif node.type in {"function_body", "library_name", "import_or_export"}:
            documented = overrides = False


def _names(node: Node) -> list[str]:
    """Return the names that a declaration introduces.

    A named constructor has two: that of its class and its own.
    """
    found: list[str] = []
    for child in node.named_children:
        if child.type == "identifier" or (node.type == "type_alias" and not found):
            found.append((child.text or b"").decode())
        elif child.type.endswith("_signature") or child.type in NAMES:
            found += _names(child)
    return found


def exported() -> Iterator[tuple[str, set[str] | None]]:
    """Yield the path of each file that the package exports, and the names in its ``show``.

    The names are ``None`` if the export has no ``show``.
    """
    for library in LIBRARIES:
        text = (_vm.library() / library).read_text(encoding="utf-8")
        for path, shown in EXPORT.findall(text):
            yield path, set(re.findall(r"\w+", shown)) or None


@pytest.mark.parametrize(("path", "shown"), list(exported()), ids=[path for path, _ in exported()])
def test_every_public_name_has_a_doc_comment(path: str, shown: set[str] | None) -> None:
    text = (_vm.library() / path).read_text(encoding="utf-8")
    assert undocumented(text, shown) == []


def test_the_exports_are_found() -> None:
    found = dict(exported())
    assert {"src/policy.dart", "src/exceptions.dart", "src/updates/pin_updates.dart"} <= set(found)
    for library in LIBRARIES:
        text = (_vm.library() / library).read_text(encoding="utf-8")
        assert text.startswith("/// ")
        assert text.count("\nexport ") == len(EXPORT.findall(text))


def test_a_missing_comment_is_found() -> None:
    """``undocumented`` returns each public name without a doc comment in a sample."""
    text = """
        /// A.
        library;
        const int one = 1;
        /// Two.
        const int two = 2;
        typedef Three = void Function();
        int four() => 4;
        int _hidden() => 0;
        class Five {
          Five();
          Five.named();
          Five._private();
          /// Documented.
          Five.other();
          final int six = 6;
          final int _seven = 7;
          int get eight => 8;
          static int nine() => 9;
          set ten(int value) {}
          @override
          String toString() => '';
          external factory Five.more();
        }
        /// An enum.
        enum Six {
          a,
          /// b.
          b;
          void c() {}
        }
        extension E on int { int get d => 1; }
        mixin class M {}
    """
    assert undocumented(text) == [
        *("one", "Three", "four", "Five", "Five.Five", "Five.named", "Five.six", "Five.eight"),
        *("Five.nine", "Five.ten", "Five.more", "Six.a", "Six.c", "E", "E.d", "M"),
    ]
    assert undocumented(text, {"Six"}) == ["Six.a", "Six.c"]
