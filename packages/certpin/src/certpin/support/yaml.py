"""Read untrusted YAML: only texts, lists and mappings.

Aliases can expand a short file to a huge one, so they are refused. All scalars become texts,
because callers need no numbers and dates. PyYAML is an optional package.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

# PyYAML reads some hundred thousand characters a second.
MAX_CHARACTERS = 1024 * 1024


def load_yaml(text: str) -> Any:
    """Return the value of a YAML document: texts, lists and dictionaries; None if it is empty.

    Raises:
        FormatError: the text is not YAML, is too long, has an alias, or repeats a key.
        ConfigError: PyYAML is not installed.
    """
    yaml, loader = _parser()
    return _parsed(yaml, text, lambda: yaml.load(text, Loader=loader))


def compose_yaml(text: str) -> Any:
    """Return the root node of a YAML document, with the line of each node; None if it is empty.

    A node has ``value``, ``start_mark.line`` (from 0) and ``id``: ``scalar``, ``sequence`` or
    ``mapping``.

    Raises:
        FormatError: the text is not YAML, is too long, or has an alias.
        ConfigError: PyYAML is not installed.
    """
    yaml, loader = _parser()
    return _parsed(yaml, text, lambda: yaml.compose(text, Loader=loader))


def _parsed(yaml: Any, text: str, parse: Callable[[], Any]) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise FormatError(f"the file has more than {MAX_CHARACTERS} characters")
    try:
        return parse()
    except FormatError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = "" if mark is None else f"line {mark.line + 1}: "
        problem = " ".join(str(exc).split())
        raise FormatError(f"{line}the file is not YAML: {problem}"[:200]) from exc


@cache
def _parser() -> tuple[Any, type]:
    """Return PyYAML and a loader class that reads every scalar as text and refuses aliases."""
    try:
        import yaml
    except ImportError as exc:
        raise ConfigError(
            "YAML cannot be read because PyYAML is not installed", fix="pip install 'certpin[yaml]'"
        ) from exc

    class Plain(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event: Any = self.get_event()  # type: ignore[no-untyped-call]  # of types-pyyaml
                line = event.start_mark.line + 1
                raise FormatError(
                    f"line {line}: the file uses an alias (*name)",
                    fix="replace the alias by its value",
                )
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            made = super().construct_mapping(node, deep)
            if len(made) < len(node.value):  # YAML 1.2.2, section 3.2.1.1
                raise FormatError(
                    f"line {node.start_mark.line + 1}: a mapping repeats a key",
                    fix="write each key once",
                )
            return made

    return yaml, Plain
