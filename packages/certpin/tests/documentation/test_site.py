"""The pages of the documentation site, and the checks that its build makes.

Each command, rule, format, case and public name has its page. Each kind of mistake in a page, such
as a dead link, fails the build.
"""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from jsonschema import (  # type: ignore[import-untyped]  # it ships none
    Draft202012Validator,
    ValidationError,
    validate,
)

import certpin
from certpin import errors
from certpin.apps.rules import RULES as MISTAKES
from certpin.cli import main
from certpin.cli.conventions import EXIT_CODES, OF_CLIENTS, OF_PROGRAMS, OWN, STANDARD
from certpin.clients import CLIENTS
from certpin.formats import FORMATS
from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.client import _OWN_SECRETS
from certpin.lint import RULES
from scripts.docs import api, checks, commands, json_schema, navigation, pages
from scripts.docs.errors import every_error, exit_code
from scripts.docs.markdown import block, code, fill, plain, prose
from scripts.docs.tree import Tree, anchors, dead_anchors, targets, tree
from tests.documentation._blocks import DOCS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from certpin.cli.conventions import Variable

COMMANDS = list(commands.every_command())
PAGES = pages()


# Each thing has its page.


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_every_option_of_a_command_is_on_its_page_with_its_help(
    command: commands.Documented,
) -> None:
    page = PAGES[f"reference/commands/{command.name}.md"]
    lines = [line for line in page.splitlines() if line.startswith("| `-")]
    for option in commands.parameters(command):
        for word in commands.option_words(option):
            (row,) = [line for line in lines if f"`{word}`" in line.partition(" | ")[0]]
            assert prose(" ".join((option.help or "-").split())) in row
    assert f"\n{command.title}" in page.partition("```text")[2]


def test_every_command_has_a_page() -> None:
    names = {each.words[0] for each in COMMANDS}
    assert names == set(main.COMMANDS)
    assert {"rotate-simulate", "watch-user-add", "lab-serve"} <= {each.name for each in COMMANDS}


def test_an_option_has_its_default_and_its_variable() -> None:
    page = PAGES["reference/commands/check.md"]
    assert "Default: `pins.toml`. Environment: `CERTPIN_PINS`." in page
    assert "Range: `0.05<=x<=600`." in page


def test_exit_codes_of_a_help_text_become_a_table() -> None:
    page = PAGES["reference/commands/get.md"]
    assert "| 0 | there was a response, with any status |" in page
    assert "| 1 | the connection was refused, or the pin file does not have the host |" in page
    assert "Exit code 0" not in page


def test_the_notes_of_a_command_are_on_its_page() -> None:
    notes = (DOCS / "reference/commands/rotate-simulate.notes.md").read_text(encoding="utf-8")
    assert notes.strip() in PAGES["reference/commands/rotate-simulate.md"]


def test_every_rule_has_a_page_with_both_examples() -> None:
    for name, rule in RULES.items():
        page = PAGES[f"reference/lint/{name}.md"]
        assert page.count("```toml\n") == 2
        assert "  # <- here\n" in page
        assert prose(rule.fix) in page
        assert f"[`{name}`]({name}.md) | {rule.severity} |" in PAGES["reference/lint/index.md"]


def test_every_mistake_has_a_page_with_its_examples() -> None:
    for name, rule in MISTAKES.items():
        page = PAGES[f"reference/mistakes/{name}.md"]
        assert page.count("```dart\n") + page.count("```xml\n") == 2 * len(rule.examples)
        marks = page.count("// <- here\n") + page.count("<!-- <- here -->\n")
        assert marks == len(rule.examples)
        assert prose(rule.why) in page


def test_no_mistake_of_apps_has_the_name_of_a_rule_of_lint() -> None:
    assert not RULES.keys() & MISTAKES.keys()


def test_every_format_has_a_page_with_its_limits_and_their_reasons() -> None:
    for name, each in FORMATS.items():
        page = PAGES[f"reference/formats/{name}.md"]
        assert f"certpin export {name} --out" in page
        assert all(limit.summary in page for limit in each.limits)
        assert all(need in page for need in each.needs)


def test_every_case_has_a_page_with_its_fix() -> None:
    for case in (CONTROL, *CASES):
        page = PAGES[f"reference/attacks/{case.name}.md"]
        assert plain(case.fix) in page
        assert page.count("| `leaf` |") == 1
        assert f"[`{case.name}`]({case.name}.md)" in PAGES["reference/attacks/index.md"]


def test_every_public_name_is_on_a_page() -> None:
    shown = "\n".join(PAGES.values())
    for name in set(certpin.__all__) - {"__version__"}:
        is_error = name in {each.__name__ for each in every_error()}
        assert (f"\n## {name}\n" if is_error else f":: certpin.{name}\n") in shown, name
    for client in CLIENTS:
        assert (
            f":: certpin.clients.{client}." in PAGES[f"reference/api/certpin.clients.{client}.md"]
        )
    assert api.public_names("certpin.clients.niquests")[0] == "PinnedAdapter"


def test_every_error_has_its_docstring_and_its_exit_code() -> None:
    page = PAGES["reference/errors.md"]
    found = {each.__name__ for each in every_error()}
    public = {name for name in vars(errors) if name.endswith("Error") and name[0] != "_"}
    assert found == public
    for error in every_error():
        assert f"\n## {error.__name__}\n" in page
        instance = error.__new__(error)
        if not issubclass(error, errors.StoreError):
            assert exit_code(error) == str(main._code(instance))
    assert "An `InputError`. Exit code" in page
    assert "A `CertpinError`. Exit code" in page
    assert not re.search(r"\bA `[AEIOU]", page)
    assert main._code(errors.StoreError("x", reason="busy")) == 3
    assert main._code(errors.StoreError("x")) == 2


def test_the_tree_of_the_errors_has_each_error_and_no_markup() -> None:
    tree = PAGES["reference/errors.md"].partition("```text\n")[2].partition("```")[0]
    named = set(re.findall(r"(?m)^(?:[│ ]*[├└]── )?(\w+Error)\b", tree))
    assert named == {each.__name__ for each in every_error()}
    assert "`" not in tree
    assert "(certpin.assert_pinned)" in tree


def test_a_client_is_introduced_by_the_name_of_its_library() -> None:
    index = PAGES["reference/api/index.md"]
    assert "A pinned client for urllib.request." in index
    assert "A pinned client for httpx." in index
    assert "client for stdlib" not in index


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    names = ("SUCCESS", "PROBLEM_FOUND", "USAGE", "INCONCLUSIVE", "INTERRUPTED", "CLOSED")
    constants = {name for name, value in vars(main).items() if name.isupper() and _is_int(value)}
    assert {name for name in constants if name[0] != "_"} == {*names}
    assert [each.number for each in EXIT_CODES] == [getattr(main, name) for name in names]
    rows = re.findall(r"(?m)^\| (\d+) \| ([a-z ]+) \| (.*) \|$", PAGES["reference/exit-codes.md"])
    assert rows == [(str(each.number), each.name, prose(each.meaning)) for each in EXIT_CODES]


def _is_int(value: object) -> bool:
    return type(value) is int


# JSON.


@pytest.mark.slow
def test_the_schema_accepts_real_output_and_refuses_other_objects() -> None:
    done = CliRunner().invoke(main.cli, ["explain", "no-backup", "--json"])
    printed = json.loads(done.stdout)
    known = json_schema.schema()
    Draft202012Validator.check_schema(known)
    rule = {**known, "$ref": "#/$defs/rule"}
    every = {**known, "$ref": "#/$defs/every%20command"}
    validate(printed, every)
    for words in (["explain", "no-backup"], ["export", "--list"], ["providers"]):
        whole = {**known, "$ref": f"#/$defs/certpin%20{words[0]}"}
        done = CliRunner().invoke(main.cli, [*words, "--json"])
        validate(json.loads(done.stdout), whole)
        with pytest.raises(ValidationError):
            validate(printed | {"rules": 3, "formats": 3, "providers": 3, "edition": 3}, whole)
    validate(printed["rules"][0], rule)
    for changed in ({"fix": None}, {"line": 3}, {}):
        with pytest.raises(ValidationError):
            validate({**printed["rules"][0], "severity": 3, **changed}, rule)


def test_the_schema_has_every_object_and_every_reference() -> None:
    known = json_schema.schema()["$defs"]
    assert known.keys() >= json_schema.tables().keys()
    assert known["certpin add"]["allOf"][1] == {"$ref": "#/$defs/add"}
    streams = {"certpin scan", "certpin serve", "certpin lab serve", "certpin rotate webhook"}
    streams |= {"certpin watch worker", "certpin watch writer"}
    assert commands.json_objects().keys() - known.keys() == streams
    named = re.findall(r'"#/\$defs/([^"]+)"', json.dumps(known))
    assert {name.replace("%20", " ") for name in named} <= known.keys()


# Environment variables.


# Read by libraries, by a function that gets the name, or in a loop over a tuple of names.
_NOT_SEEN = {"ALL_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE"}
_NOT_SEEN |= {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "LD_PRELOAD", "SSLKEYLOGFILE"}
_NOT_SEEN |= {"PUBKEY_SHA256", "TBS_SHA256"}


def _declared(*groups: Iterable[Variable]) -> set[str]:
    return {name for group in groups for variable in group for name in variable.names}


@pytest.mark.slow
def test_the_declared_variables_are_those_that_the_code_reads() -> None:
    declared = _declared(OWN, STANDARD, OF_PROGRAMS)
    read = {name for path in _sources() for name in _variables(path)}
    assert {"CERTPIN_PINS", "CERTPIN_PASSPHRASE", "CERTPIN_WHO", "PKCS11_MODULE"} <= read
    assert read - declared == set(), "declare it in certpin.cli.conventions"
    assert declared - read == _NOT_SEEN, "remove it from certpin.cli.conventions"


def test_the_declared_variables_are_those_that_the_lab_sets() -> None:
    source = (ROOT / "packages/certpin/src/certpin/lab/client.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"([A-Za-z]+(?:_[A-Z0-9a-z]+)+|FAKETIME)"', source))
    named -= {name for name in named if name.islower() and not name.endswith("_proxy")}
    named -= _OWN_SECRETS  # which it takes away
    assert {"CERTPIN_LAB_URL", "SSL_CERT_FILE", "https_proxy"} <= named
    assert named == _declared(OF_CLIENTS)


def test_every_declared_variable_is_on_the_page_with_its_meaning() -> None:
    rows = PAGES["reference/environment.md"].splitlines()
    for variable in (*OWN, *STANDARD, *OF_PROGRAMS, *OF_CLIENTS):
        more = f" ([more](../{variable.see}))" if variable.see else ""
        readers = [prose(variable.readers)] if variable.readers else []
        cells = [", ".join(map(code, variable.names)), *readers, prose(variable.meaning) + more]
        assert rows.count(f"| {' | '.join(cells)} |") == 1
    assert all(variable.readers for variable in (*OWN, *STANDARD, *OF_PROGRAMS))


@pytest.mark.parametrize(
    "source",
    [
        'os.environ["A_NEW"]',
        'os.environ.get("A_NEW", "")',
        'os.getenv("A_NEW")',
        '"A_NEW" in os.environ',
        'click.option("--x", envvar="A_NEW")',
        'NAME = "A_NEW"\nos.environ.get(NAME)',
        'from a import B_VARIABLE\nenvironment.get("A_NEW")',
    ],
)
def test_a_new_variable_is_found(source: str, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text(source, encoding="utf-8")
    assert "A_NEW" in set(_variables(tmp_path / "new.py"))


def _sources() -> list[Path]:
    return sorted((ROOT / "packages").glob("*/src/**/*.py"))


def _constants() -> dict[str, str]:
    """Return the names and values of all modules' string constants that can name a variable.

    Constants that hold the name of an environment variable are unique in the packages.
    """
    found: dict[str, str] = {}
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        found |= dict(re.findall(r'(?m)^([A-Z_]+) = "([A-Z_][A-Z0-9_]+)"', text))
    return found


CONSTANTS = _constants()


def _variables(path: Path) -> Iterator[str]:
    """Yield the names of the environment variables that a module reads."""
    text = path.read_text(encoding="utf-8")
    own = dict(CONSTANTS)
    own |= dict(re.findall(r'(?m)^([A-Z_]+) = "([A-Z_][A-Z0-9_]+)"', text))
    for names, values in re.findall(r'(?m)^([A-Z_]+, [A-Z_]+) = ("[A-Z_]+", "[A-Z_]+")', text):
        own |= dict(zip(names.split(", "), re.findall(r'"(\w+)"', values), strict=True))
    for node in ast.walk(ast.parse(text)):
        key = _key(node)
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value
        elif isinstance(key, ast.Name) and key.id in own:
            yield own[key.id]
        elif isinstance(key, ast.Name) and key.id.isupper() and key.id != "_PRELOAD":
            yield f"unknown value of {key.id} in {path.name}"


def _key(node: ast.AST) -> ast.expr | None:
    """Return the name of the variable that a part of a program reads; None if it reads none."""
    if isinstance(node, ast.keyword) and node.arg == "envvar":
        return node.value
    if isinstance(node, ast.Subscript) and _is_environment(node.value):
        return node.slice
    if isinstance(node, ast.Compare) and _is_environment(node.comparators[0]):
        return node.left
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr == "get" and _is_environment(node.func.value):
            return node.args[0]
        if node.func.attr == "getenv":
            return node.args[0]
    return None


def _is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) in {"os.environ", "environ", "environment"}


# Each kind of mistake fails the build.


NAVIGATION = '[[section]]\ntitle = "Guides"\npages = ["guides/*"]\n'
GOOD = {
    "docs/navigation.toml": NAVIGATION,
    "docs/index.md": "# Home\n\n[guide](guides/index.md)\n",
    "docs/guides/index.md": "# Guides\n\n[one](one.md#step-1)\n",
    "docs/guides/one.md": "# One\n\n## Step 1\n\n[home](../index.md), [example](../../a.toml)\n",
    "a.toml": "schema = 1\n",
}


def _site(folder: Path, files: dict[str, str]) -> tuple[Tree, dict[str, str]]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    generated: dict[str, str] = {}
    return tree(generated, folder), generated


def _problems(folder: Path, **changed: str) -> list[str]:
    names = {name.replace("/", "_").replace(".", "_"): name for name in GOOD}
    files = GOOD | {names.get(key, key): text for key, text in changed.items()}
    found, generated = _site(folder, files)
    problems = checks.problems(found, generated, folder)
    # The pages of files of the repository are in no navigation of this small site. Mistakes in the
    # real commands are reported only by test_the_documentation_has_no_problem.
    real = checks.undocumented(COMMANDS)
    return [each for each in problems if "source/" not in each and each not in real]


def test_a_site_without_mistakes_has_no_problem(tmp_path: Path) -> None:
    assert _problems(tmp_path) == []


def test_a_dead_link_fails(tmp_path: Path) -> None:
    text = "# Home\n\n[guide](guides/none.md), `[code](no/link.md)`\n\n```sh\n[x](y.md)\n```\n"
    assert _problems(tmp_path, docs_index_md=text) == ["dead link in docs/index.md: guides/none.md"]


def test_a_link_out_of_the_repository_fails(tmp_path: Path) -> None:
    (tmp_path / "outside.md").write_text("# Secret", encoding="utf-8")
    inner = tmp_path / "repository"
    found = _problems(inner, docs_index_md="# Home\n\n[x](../../outside.md)\n")
    assert found == ["dead link in docs/index.md: ../../outside.md"]


def test_an_unknown_anchor_fails(tmp_path: Path) -> None:
    found = _problems(tmp_path, docs_guides_index_md="# Guides\n\n[one](one.md#step-2)\n")
    assert found == ["no such anchor in guides/index.md: one.md#step-2"]


def test_an_anchor_of_code_is_unknown() -> None:
    text = "# A\n\n```sh\n# B\n```\n\n## `C` d: [e](f.md)\n\n## A\n"
    assert anchors(text) == {"a", "c-d-e", "a-1"}
    assert dead_anchors({"x.md": text + "[b](#b) [a](#a-1)"}) == ["x.md: #b"]


def test_every_copy_of_a_heading_has_its_anchor() -> None:
    assert anchors("# A\n\n## B\n\n## B\n\n## B\n\n## B-1\n") == {"a", "b", "b-1", "b-2", "b-1-1"}


def test_a_page_outside_the_navigation_fails(tmp_path: Path) -> None:
    (tmp_path / "docs/more").mkdir(parents=True)
    (tmp_path / "docs/more/page.md").write_text("# More\n", encoding="utf-8")
    assert _problems(tmp_path) == ["more/page.md is not in docs/navigation.toml"]


def test_a_page_of_the_navigation_that_does_not_exist_fails(tmp_path: Path) -> None:
    text = NAVIGATION.replace('"guides/*"', '"guides/*", "guides/two.md"')
    assert _problems(tmp_path, docs_navigation_toml=text) == [
        "guides/two.md is in docs/navigation.toml, and doesn't exist"
    ]


def test_a_page_that_is_listed_twice_fails(tmp_path: Path) -> None:
    text = NAVIGATION.replace('"guides/*"', '"guides/*", "guides/one.md"')
    assert _problems(tmp_path, docs_navigation_toml=text) == [
        "guides/one.md is twice in docs/navigation.toml"
    ]


def test_a_generated_page_without_a_link_from_its_index_fails() -> None:
    index = {"reference/lint/index.md": "# Rules\n\n[a](a.md)\n"}
    reached = {**index, "reference/lint/a.md": "# a"}
    assert checks.unlinked(reached) == []
    assert checks.unlinked({**reached, "reference/lint/b.md": "# b"}) == ["reference/lint/b.md"]
    assert checks.unlinked(PAGES) == []


def test_an_undocumented_command_or_option_fails() -> None:
    options = [click.Option(["-q", "--quiet"], is_flag=True), click.Option(["--json"], help="x")]
    new = click.Command("new", params=[*options])
    documented = commands.Documented(("new",), new, click.Context(new))
    assert checks.undocumented([documented]) == [
        "certpin new has no help text",
        "certpin new: --quiet has no help text",
        "certpin new is not in the table of docs/reference/json.md",
    ]
    hidden = click.Command("old", help="Do it.", params=[click.Option(["--old"], hidden=True)])
    assert checks.undocumented([commands.Documented(("old",), hidden, click.Context(hidden))]) == []


def test_notes_without_a_command_fail(tmp_path: Path) -> None:
    folder = tmp_path / "docs/reference/commands"
    folder.mkdir(parents=True)
    (folder / "pim.notes.md").write_text("## Notes\n", encoding="utf-8")
    assert _problems(tmp_path) == ["no command has the notes pim.notes.md"]


def test_notes_without_a_generated_page_fail(tmp_path: Path) -> None:
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "docs/reference/metric.notes.md").write_text("## Notes\n", encoding="utf-8")
    assert _problems(tmp_path) == ["no generated page has the notes reference/metric.notes.md"]


def test_a_generated_part_has_its_line_in_the_notes() -> None:
    text = "one\n\n<!-- generated: a table -->\n\ntwo\n"
    assert fill(text, {"a table": "| x |\n| \\1 |"}) == "one\n\n| x |\n| \\1 |\n\ntwo\n"
    for parts in ({}, {"other": "x"}, {"a table": "x", "other": "y"}):
        with pytest.raises(ValueError, match="the text has the parts"):
            fill(text, parts)
    with pytest.raises(ValueError, match="the text has the parts"):
        fill(text * 2, {"a table": "x"})


CLONED = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("examples", "packages")
        for path in (ROOT / folder).rglob("README.md")
        if not {"node_modules", "build", ".venv"} & {*path.parts}
    ),
)


@pytest.mark.parametrize("name", CLONED)
def test_a_page_that_is_read_in_a_clone_links_only_to_files_of_it(name: str) -> None:
    file = ROOT / name
    paths = {target.partition("#")[0] for target in targets(file.read_text(encoding="utf-8"))}
    local = [path for path in paths if path and not re.match(r"[a-z]+:", path)]
    assert [path for path in local if not (file.parent / path).exists()] == []


@pytest.mark.slow
def test_the_documentation_has_no_problem() -> None:
    assert checks.problems(tree(PAGES), PAGES, ROOT) == []


# How pages are written.


def test_a_file_of_the_repository_becomes_a_page(tmp_path: Path) -> None:
    index = GOOD["docs/index.md"] + "[image](../Containerfile), [more](../more/README.md)\n"
    more = {"docs/index.md": index, "Containerfile": "ARG BASE\n", "more/README.md": "# More\n"}
    found, _ = _site(tmp_path, GOOD | more)
    assert "](../source/a.toml.md)" in found.pages["guides/one.md"]
    assert "```toml\nschema = 1\n```" in found.pages["source/a.toml.md"]
    assert found.pages["source/index.md"].splitlines()[4:] == [
        "- [`Containerfile`](Containerfile.md)",
        "- [`a.toml`](a.toml.md)",
        "- [`more/README.md`](more/README.md)",
    ]


@pytest.mark.slow
def test_the_pages_of_the_root_have_their_place() -> None:
    found = tree(PAGES)
    assert "](../decisions/index.md)" in found.pages["project/contributing.md"]
    assert {"project/changelog.md", "project/security.md"} <= found.pages.keys()
    assert "guides/simulation.svg" in found.pictures


@pytest.mark.slow
def test_the_contents_have_the_order_of_the_file() -> None:
    sections = navigation.read(ROOT)
    assert [each.title for each in sections] == [
        *("Start", "Guides", "Concepts", "Reference", "Operate", "Project"),
    ]
    shown = navigation.with_toctrees(sections, tree(PAGES).pages)
    order = [shown["index.md"].index(f":caption: {each.title}") for each in sections]
    assert order == sorted(order)
    assert "\npin.md\n" in shown["reference/commands/index.md"]


def test_texts_are_escaped() -> None:
    assert plain(r"a|b *c* _d_ <e> `f` [g] \0") == r"a\|b \*c\* \_d\_ \<e> \`f\` \[g] \\0"
    assert prose("use --json and A_B, `x|y`, {url}; a_b") == (
        r"use `--json` and `A_B`, `x\|y`, `{url}`; a\_b"
    )
    assert code("a|b") == r"`a\|b`"
    assert block("```\nx\n```", "text") == "````text\n```\nx\n```\n````"
