"""The reference pages of the Python API: autodoc fills them from docstrings of public names."""

from __future__ import annotations

import ast
import importlib
from inspect import getdoc, isclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certpin
from certpin import clients, pytest_plugin
from certpin.clients import CLIENTS
from certpin.errors import CertpinError
from scripts.docs.markdown import code, page, table

if TYPE_CHECKING:
    from types import ModuleType

_INTRODUCTION = """\
The names on these pages are public: they only change with a new major version. The [names for
extensions](../extensions.md) can change with a minor version. All others can change at any time."""

# The modules with ``__all__``, and the purpose of each.
_MODULES = {
    "certpin.pins": "The model: pins, hosts, policies, pin sets and verdicts.",
    "certpin.updates": "Newer pin sets, signed, for a program that runs.",
    "certpin.reports": "Reports of refused connections, sent to a collector.",
    "certpin.lab": "Authorities, certificates and TLS servers for your own tests.",
    "certpin.hsm": "Keys on PKCS#11 tokens: found by a URI, used on the token.",
}
_CORE = "The names that you import from certpin itself. The [errors](../errors.md) are too."
_CLIENT = "A pinned client for {}."
_LIBRARIES = {"stdlib": "urllib.request"}  # the others have the name of their module
_NOT_IMPORTED = {"certpin.clients.niquests"}
_FIXTURES = ("attack", "mitm", "certpin_environment", "certpin_lab", "certpin_case")


def api_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/api``, by its path below ``docs``."""
    modules = _MODULES | {
        f"certpin.clients.{each}": _CLIENT.format(_LIBRARIES.get(each, each)) for each in CLIENTS
    }
    purposes = {
        "certpin": "Pin sets, the TLS context, and the check of one connection.",
        **modules,
        "certpin.pytest_plugin": "The fixtures of the pytest plugin.",
    }
    rows = [(f"[{code(name)}]({name}.md)", purpose) for name, purpose in purposes.items()]
    found = {
        "index": page("Python API", _INTRODUCTION, table(("module", "purpose"), rows)),
        "certpin": _page("certpin", _CORE, core_names()),
        **{name: _page(name, purpose, public_names(name)) for name, purpose in modules.items()},
        "certpin.pytest_plugin": _plugin_page(),
    }
    return {f"reference/api/{name}.md": text for name, text in found.items()}


def core_names() -> list[str]:
    """Return the names in ``certpin.__all__``, without the error classes and the version."""
    return [
        name
        for name in certpin.__all__
        if name != "__version__" and not _is_error(getattr(certpin, name))
    ]


def public_names(module: str) -> list[str]:
    """Return the public names of a module, without those that ``certpin`` itself exports.

    niquests replaces libraries that other client modules need. So its client module is not
    imported: its names are read from the source.
    """
    if module in _NOT_IMPORTED:
        return _classes(Path(clients.__file__).parent / f"{module.rpartition('.')[2]}.py")
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None) or _defined(found)
    return [name for name in names if name not in certpin.__all__]


def _defined(module: ModuleType) -> list[str]:
    """Return the names of the public classes and functions of a module, in source order."""
    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    ]


def _classes(source: Path) -> list[str]:
    """Return the names of the public classes in a Python source file, in source order."""
    nodes = ast.parse(source.read_text(encoding="utf-8")).body
    return [each.name for each in nodes if isinstance(each, ast.ClassDef) and each.name[0] != "_"]


def _is_error(value: Any) -> bool:
    return isclass(value) and issubclass(value, CertpinError)


def _page(module: str, purpose: str, names: list[str]) -> str:
    parts = [_entry(module, name) for name in names]
    return page(module, purpose, *parts)


def _entry(module: str, name: str) -> str:
    kind = _kind(module, name)
    lines = [f"## {name}", "", "```{eval-rst}", f".. auto{kind}:: {module}.{name}"]
    if kind == "class" and _has_a_base(module, name):
        lines.append("   :show-inheritance:")
    return "\n".join([*lines, "```"])


def _has_a_base(module: str, name: str) -> bool:
    return module in _NOT_IMPORTED or _value(module, name).__bases__ != (object,)


def _value(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _kind(module: str, name: str) -> str:
    if module in _NOT_IMPORTED:
        return "class"
    value = _value(module, name)
    if isclass(value):
        return "class"
    return "function" if callable(value) else "data"


def _plugin_page() -> str:
    fixtures = [
        f"## {name}\n\n{(getdoc(getattr(pytest_plugin, name)) or '').replace('``', '`')}"
        for name in _FIXTURES
    ]
    text = "The fixtures that you get with certpin installed: [pytest](../../guides/pytest.md)."
    return page("certpin.pytest_plugin", text, *fixtures)
