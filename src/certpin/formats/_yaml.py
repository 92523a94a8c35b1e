"""Parse untrusted YAML with PyYAML: only texts, lists and mappings, without aliases.

Aliases can expand a short file to a huge one. Numbers and dates are not needed, so all scalars are
texts.
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
    """Iterate over all mappings of a document, at any depth. Raises ``FormatError``."""
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
        raise FormatError(f"the file has more than {_LONGEST} characters")
    yaml, loader = _parser()
    try:
        return yaml.load(text, Loader=loader)  # the loader creates only texts
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        raise FormatError(f"the file is not YAML: {' '.join(str(exc).split())}"[:200]) from exc


@cache
def _parser() -> tuple[Any, type]:
    """Return PyYAML, and a loader without types and aliases."""
    try:
        import yaml
    except ImportError as exc:
        raise ConfigError(
            "YAML cannot be read because PyYAML is not installed", fix="pip install 'certpin[yaml]'"
        ) from exc

    class Plain(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise FormatError(
                    "the file uses an alias (*name)", fix="replace the alias by its value"
                )
            return super().compose_node(parent, index)

    return yaml, Plain
