"""Rules for certpin's source: the order of imports, lazy imports, and complete registries.

No modules import each other, certpin doesn't import the service, only the command line ends the
program, and CONTRIBUTING.md shows the order and names existing files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.cli.main import COMMANDS, EXTENSIONS, function_name
from certpin.formats import FORMATS
from certpin.lab.attacks import CASES, OPTIONAL_CASES
from certpin.lint import RULES
from certpin.probe.starttls import PROTOCOLS
from certpin.reports.codecs import CODECS
from tests._imports import Import, cycle, imports, module_graph, modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "packages/certpin/src/certpin"
WATCH = ROOT / "packages/certpin-watch/src/certpin_watch"

# Each line may import from the lines above it. Packages on one line never import each other.
ORDER = (
    {"_version"},
    {"errors"},
    {"support"},
    {"x509"},
    {"hsm", "kms"},
    {"pins"},
    {"roots"},
    {"pinfile", "providers", "tls", "probe", "formats"},
    {"reports"},
    {"advice", "apps", "calendar", "lint", "clients", "rotation", "updates", "lab"},
    {"publish"},
    {"cli", "pyinstaller_hooks", "pytest_plugin"},
    # The public modules: they import the names that they export, and no module imports them.
    {"__init__", "__main__"},
)
RANK = {unit: rank for rank, units in enumerate(ORDER) for unit in units}

# The packages that `import certpin` must not load: every dependency, required or optional.
DEPENDENCIES = {
    *("aiohttp", "click", "cryptography", "httpx", "httpx2", "idna", "requests", "rich"),
    *("matplotlib", "numpy", "pkcs11", "tomli", "tomlkit", "tree_sitter", "urllib3"),
}
CLIENTS = {"aiohttp", "httpx", "httpx2", "requests", "urllib3"}


def unit_of(found: Import) -> str:
    """Return the package or module directly under certpin that an import refers to.

    For a public name of certpin itself, it is ``__init__``.
    """
    unit = found.full_name.partition(".")[2].partition(".")[0]
    # `from certpin import errors` names a package; `from certpin import Pin` a public name.
    return unit if found.module != "certpin" or unit in RANK else "__init__"


def broken(unit: str, source: str) -> list[Import]:
    """Return the imports in ``source`` that the order of imports forbids.

    ``unit`` is the package or module directly under certpin to which the source belongs. It may
    import only packages and modules of a lower rank.
    """
    return [
        found
        for found in imports(source, f"certpin.{unit}")
        if found.module.partition(".")[0] == "certpin"
        and unit_of(found) != unit
        and RANK[unit_of(found)] >= RANK[unit]
    ]


def _modules() -> Iterator[tuple[Path, str]]:
    """Yield each source file of certpin, and its package or module directly under certpin."""
    for path, _, parts in modules("certpin", SOURCE):
        yield path, parts[0]


def test_every_package_is_in_the_order() -> None:
    units = {unit for _, unit in _modules()}
    assert units <= RANK.keys(), "add the new one to ORDER, and to the design"


def test_the_picture_in_contributing_shows_the_order() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = page.partition("### Packages and layers")[2].partition("```text\n")[2]
    lines = picture.partition("```")[0].splitlines()
    # Names are in the first column, without the remarks in parentheses.
    columns = [re.sub(r"\(.*?\)", "", line[:57]) for line in lines]
    assert [set(column.split()) for column in columns] == list(reversed(ORDER))


def test_the_files_that_contributing_names_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/-])[a-z0-9_]+(?:/[a-z0-9_]+)+\.(?:py|dart)\b", page))
    packages = (ROOT / "packages/certpin", ROOT / "packages/certpin-watch")
    folders = (ROOT, SOURCE, SOURCE.parent, WATCH.parent, *packages)
    assert [name for name in sorted(named) if not any((at / name).exists() for at in folders)] == []


@pytest.mark.slow
def test_imports_follow_the_order() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line}: {unit} must not import {found.module}"
        for path, unit in _modules()
        for found in broken(unit, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("errors", "import certpin.x509"),
        ("errors", "if TYPE_CHECKING:\n    from certpin.x509 import Chain"),
        ("errors", "from certpin.pins.verdict import Verdict"),
        ("x509", "from certpin.pins import Pin"),
        ("x509", "from ..pins import Pin"),
        ("x509", "from certpin.hsm import TokenKey"),
        ("hsm", "from certpin.pins import Pin"),
        ("pins", "def lazily():\n    from certpin.tls import context"),
        ("tls", "from certpin import probe"),
        ("tls", "import importlib\nimportlib.import_module('certpin.pinfile')"),
        ("tls", "import certpin"),
        ("cli", "from certpin import PinSet"),
        ("clients", "if typing.TYPE_CHECKING:\n    from certpin.lab import Forge"),
    ],
)
def test_an_import_against_the_order_is_detected(unit: str, source: str) -> None:
    assert broken(unit, source)


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("pins", "from certpin.errors import ConfigError\nfrom certpin.x509 import Chain"),
        ("pins", "from . import hosts\nfrom certpin.pins.policy import Pin"),
        ("cli", "from certpin import _version, errors"),
        ("__init__", "from certpin.tls import PinnedSSLContext"),
        ("x509", "import certifi"),
    ],
)
def test_an_import_along_the_order_is_allowed(unit: str, source: str) -> None:
    assert not broken(unit, source)


@pytest.mark.slow
def test_certpin_never_imports_the_service() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line}: {found.module}"
        for path, package, _ in modules("certpin", SOURCE)
        for found in imports(path.read_text(encoding="utf-8"), package)
        if found.module.partition(".")[0] == "certpin_watch"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_no_modules_import_each_other() -> None:
    graph = module_graph("certpin", SOURCE)
    assert sum(map(len, graph.values())) > len(graph)
    assert cycle(graph) == []


def test_a_cycle_of_lazy_and_type_only_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def lazily():\n    from p import b")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    from p.a import A")
    assert set(cycle(module_graph("p", tmp_path))) == {"p.a", "p.b"}


def _loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.slow
def test_importing_certpin_loads_no_dependency() -> None:
    every = "import certpin\nfor name in certpin.__all__: getattr(certpin, name)"
    assert not _loaded_after(every) & DEPENDENCIES


def test_importing_certpin_loads_its_modules_lazily() -> None:
    assert "ssl" not in _loaded_after("import certpin")


def test_importing_the_command_line_loads_no_client_library() -> None:
    assert not _loaded_after("import certpin.cli.main") & CLIENTS


def test_importing_rotation_commands_loads_no_simulation_packages() -> None:
    assert not _loaded_after("import certpin.cli.rotate") & {"matplotlib", "numpy"}


@pytest.mark.medium
def test_only_the_command_line_ends_the_program() -> None:
    ends = re.compile(r"\bSystemExit\b|\bsys\.exit\(|\bos\._exit\(")
    wrong = [
        str(path.relative_to(ROOT))
        for package, folder in (("certpin", SOURCE), ("certpin_watch", WATCH))
        for path, _, parts in modules(package, folder)
        if parts[0] not in {"cli", "__main__"}
        and path.name != "zygote.py"  # the program that prove --warm starts
        and ends.search(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


def _commands() -> list[str]:
    return [name for name in COMMANDS if name not in EXTENSIONS]


def _protocols() -> list[str]:
    return list(PROTOCOLS)


def _rules() -> list[str]:
    return list(RULES)


def _codecs() -> list[str]:
    return list(CODECS)


def _attacks() -> list[str]:
    return [case.name for case in (*CASES, *OPTIONAL_CASES)]


def _clients() -> list[str]:
    """Return the names of the client adapters: the public modules of the folder ``clients``."""
    names = [path.stem for path in (SOURCE / "clients").glob("*.py")]
    return sorted(name for name in names if not name.startswith("_"))


# A folder of certpin, and the names in its registry. A new registry is one line here.
REGISTRIES = {
    "cli": _commands,
    "clients": _clients,
    "formats": lambda: list(FORMATS),
    "lab/attacks": _attacks,
    "lint": _rules,
    "probe/starttls": _protocols,
    "reports/codecs": _codecs,
}
# Their documentation is a generated page for each entry: documentation/test_site.py checks them.
GENERATED = {"lab/attacks", "lint"}


def _has_file(folder: str, entry: str) -> bool:
    """Return True if ``folder`` has a module or a package for an entry of its registry.

    Lint rules share files: for ``lint``, exactly one file must contain the name of the rule. A
    family of attacks has one file, which the registry imports.
    """
    if folder == "lab/attacks":
        return True
    if folder == "lint":
        files = (SOURCE / folder).glob("*.py")
        return sum(f'    "{entry}",\n' in file.read_text(encoding="utf-8") for file in files) == 1
    path = SOURCE / folder / function_name(entry)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _tests_of(folder: str) -> Path:
    """Return the folder with the tests of a registry; those of attacks are all below ``lab``."""
    mirror = "lab" if folder == "lab/attacks" else folder
    return ROOT / "packages/certpin/tests" / mirror


def _has_test(entry: str, tests: str) -> bool:
    """Return True if ``tests``, the text of all files ``test_*.py``, has an entry as a string."""
    return f'"{entry}"' in tests


def _has_page(entry: str, documents: str) -> bool:
    """Return True if ``documents`` has an entry as code, as a command, or as a client's module."""
    if f"`{entry}`" in documents or f"`certpin.clients.{entry}`" in documents:
        return True
    return re.search(rf"\bcertpin {re.escape(entry)}(?![\w-])", documents) is not None


def _text(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


# Not slow, so that `make quick` reports what a new entry lacks.
@pytest.mark.parametrize("folder", REGISTRIES)
def test_every_entry_of_a_registry_has_its_file_its_test_and_its_documentation(folder: str) -> None:
    entries = REGISTRIES[folder]()
    place = _tests_of(folder)
    tests = _text(place.rglob("test_*.py"))
    documents = _text([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    described = [] if folder in GENERATED else entries
    wrong = [
        *(
            f"{each} has no file; fix: write it in {SOURCE.relative_to(ROOT) / folder}"
            for each in entries
            if not _has_file(folder, each)
        ),
        *(
            f'{each} has no test; fix: "{each}" in a file test_*.py of {place.relative_to(ROOT)}'
            for each in entries
            if not _has_test(each, tests)
        ),
        *(
            f"{each} has no documentation; fix: write about `{each}` in docs"
            for each in described
            if not _has_page(each, documents)
        ),
    ]
    assert entries, f"certpin/{folder} has no entry"
    assert not wrong, "\n".join(wrong)


def test_a_word_of_another_meaning_is_no_test_and_no_documentation() -> None:
    assert not _has_test("plain", 'def test_plain_text() -> None:\n    assert "plain text"\n')
    assert not _has_page("plain", "A plain text file. certpin plainly reads it.")
    assert _has_test("plain", 'FORMATS["plain"]')
    assert _has_page("plain", "Export as `plain`.")
    assert _has_page("diff", "    certpin diff old.toml new.toml")
