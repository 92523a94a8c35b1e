"""YAML as a hostile file: texts, lists and mappings alone, without aliases (PyYAML).

Aliases make a short file a huge one, and no number or date is of use here: all scalars are texts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, FormatError
from certpin.formats.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

# PyYAML reads some hundred thousand characters a second.
_LONGEST = 1024 * 1024
NOTHING = Shape([])


def mappings(text: str) -> Iterator[Shape]:
    """Every mapping of a document, wherever it stands. Raises ``FormatError``."""
    waiting: list[Any] = [_load(text)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield Shape(value)
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def _load(text: str) -> Any:
    if len(text) > _LONGEST:
        raise FormatError(f"it has more than {_LONGEST} characters: no list of pins")
    yaml, loader = _parser()
    try:
        return yaml.load(text, Loader=loader)  # it makes texts alone
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        raise FormatError(f"it is not YAML: {' '.join(str(exc).split())}"[:200]) from exc


@cache
def _parser() -> tuple[Any, type]:
    """PyYAML, and a loader that knows no types and no aliases."""
    try:
        import yaml
    except ImportError as exc:
        raise ConfigError(
            "YAML cannot be read here: PyYAML is missing", fix="pip install 'certpin[yaml]'"
        ) from exc

    class Plain(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise FormatError("it uses an alias (*name)", fix="write out what it stands for")
            return super().compose_node(parent, index)

    return yaml, Plain
