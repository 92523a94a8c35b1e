"""examples/watch and the pages of the docs, checked as far as possible without containers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from certpin.cli.main import cli
from certpin.pins import normalise
from certpin_watch import settings
from certpin_watch.rules.engine import check_rule
from certpin_watch.settings.reader import known_keys
from tests.servers._run import require

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[4]
EXAMPLES = ROOT / "examples/watch"
DOCS = ROOT / "docs"
UNITS = sorted((EXAMPLES / "systemd").glob("*.service"))
COMPOSE = EXAMPLES / "compose.yaml"
KUBERNETES = sorted((EXAMPLES / "kubernetes").glob("*.yaml"))
PAGES = [
    EXAMPLES / "README.md",
    *(
        DOCS / f"{name}.md"
        for name in (
            *("access", "alerts", "api", "collector", "metrics", "monitor", "reporting"),
            *("watch", "watch-operations"),
        )
    ),
]
SECRETS = {"NATS": "nats://127.0.0.1", "STORE": "sqlite:///watch.db"}
SECRETS |= {"WATCH_CHAT": "json://127.0.0.1", "WATCH_PAGER": "json://127.0.0.1"}

# Options are checked when a command runs; here they are only parsed.
_CALL = re.compile(r"(?:^|[ /(])certpin +((?:serve|watch|check|rotate|add|lint|publish)\b.*)")


def parse(words: list[str]) -> None:
    """Parse a command with the real command line, without running it.

    Raises:
        click.ClickException: there is no such command or option.
    """
    command: click.Command = cli
    above, name, rest = None, "certpin", list(words)
    while isinstance(command, click.Group):
        above = click.Context(command, parent=above, info_name=name)
        name, *rest = rest or [""]
        found = command.get_command(above, name)
        if found is None:
            raise click.UsageError(f"there is no command {name!r}", above)
        command = found
    command.make_context(name, rest, parent=above)


def _documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _containers(document: Any) -> list[Any]:
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _in_lines(text: str) -> Iterator[list[str]]:
    """Return calls of certpin in shell, without comments after two spaces, and without pipes."""
    for line in text.replace("\\\n", " ").splitlines():
        plain = re.sub(r"\$\([^)]*\)", "VALUE", line)
        if (call := _CALL.search(plain)) and not line.lstrip().startswith(("#", "|")):
            words = re.split(r" {2,}| [|<>&]|\)", call[1])[0]
            yield shlex.split(words, comments=True)


def _calls() -> Iterator[tuple[str, list[str]]]:
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        yield from ((unit.name, words) for words in _in_lines(text))
    (command,) = re.findall(r"CMD (\[.*\])", (EXAMPLES / "Dockerfile").read_text(encoding="utf-8"))
    yield "Dockerfile", yaml.safe_load(command)
    for name, service in _documents(COMPOSE)[0]["services"].items():
        if service["image"] == "certpin-watch":
            yield f"compose.yaml: {name}", service["command"]
    for document in [each for path in KUBERNETES for each in _documents(path)]:
        for each in _containers(document):
            shell = each.get("command", ["", "", ""])[2]
            yield (
                f"kubernetes: {each['name']}",
                (each["args"] if "args" in each else next(_in_lines(shell))),
            )
    for page in PAGES:
        for block in _blocks(page, "sh", ""):
            yield from ((page.name, words) for words in _in_lines(block))


def _blocks(page: Path, *kinds: str) -> list[str]:
    """Return fenced blocks of these languages; with "" also indented ones."""
    text = page.read_text(encoding="utf-8")
    found = [
        each[1] for each in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if each[0] in kinds
    ]
    bare = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return found + (re.findall(r"(?m)^    ((?:.* )?certpin .*)$", bare) if "" in kinds else [])


@pytest.mark.medium
def test_every_documented_command_exists() -> None:
    calls = list(_calls())
    assert len({place for place, _ in calls}) > 12  # the unit, each container, the pages
    for place, words in calls:
        try:
            parse(words)
        except click.ClickException as exc:
            pytest.fail(f"{place}: certpin {shlex.join(words)}: {exc.format_message()}")


def test_an_unknown_command_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(["watch", "worker", "--url", "https://watch.bank.example", "--surprise"])
    with pytest.raises(click.MissingParameter):
        parse(["watch", "token", "add"])


@pytest.mark.parametrize("name", ["watch.toml", "cluster.toml"])
def test_the_example_settings_load(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SECRETS.items():
        monkeypatch.setenv(variable, value)
    for secret in ("pager", "chat"):
        (tmp_path / secret).write_text("json://127.0.0.1")
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text.replace("/etc/certpin/", f"{tmp_path}/"))
    found = settings.load(tmp_path / name, check_rule)
    assert [normalise(each.name) for each in found.monitor.hosts] == [
        each.name for each in found.monitor.hosts
    ]
    assert [each.url.reveal() for each in found.alerts.tell] == ["json://127.0.0.1"] * 2
    assert found.access.believed


def _settings_of_the_pages() -> list[str]:
    blocks = [text for page in PAGES for text in _blocks(page, "toml")]
    return [text for text in blocks if "[[host]]" not in text]  # those are pin files


def test_the_settings_in_the_docs_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "json://127.0.0.1/?a=b"
    (tmp_path / "secret").write_text(secret)
    texts = _settings_of_the_pages()
    assert len(texts) > 8
    for text in texts:
        for variable in re.findall(r'"env:(\w+)"', text):
            monkeypatch.setenv(variable, secret)
        here = re.sub(r'"file:[^"]+"', f'"file:{tmp_path}/secret"', text)
        (tmp_path / "watch.toml").write_text(here)
        settings.load(tmp_path / "watch.toml", check_rule)


def _names(page: str) -> set[str]:
    """Return the names in the first column of the tables of a page."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_docs_have_every_setting_and_no_other() -> None:
    text = (DOCS / "watch.md").read_text(encoding="utf-8")
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name.strip("[]") for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(names) == sorted(settings.KEYS)


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("access.md", "access"),
        ("alerts.md", "alerts"),
        ("collector.md", "collector"),
        ("metrics.md", "telemetry"),
        ("monitor.md", "monitor"),
        ("watch-operations.md", "retention"),
        ("watch-operations.md", "log"),
    ],
)
def test_every_setting_of_a_table_is_on_its_page(page: str, table: str) -> None:
    known = known_keys(type(getattr(settings.ServiceSettings(), table)))
    tables_within = {"host", "oidc", "tell"}  # tables below this one
    assert set(known) - tables_within <= _names(page)


def test_files_named_by_compose_exist_or_are_documented() -> None:
    compose = _documents(COMPOSE)[0]
    sources = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }
    assert {each for each in sources if not (EXAMPLES / each).exists()} == {"./pins"}
    build = compose["x-image"]["build"]
    dockerfile = (EXAMPLES / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    copied = [each.split()[:-1] for each in re.findall(r"(?m)^COPY (?!--from)(.*)$", dockerfile)]
    assert [each for line in copied for each in line if not (ROOT / each).exists()] == []
    volumes = {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", [])}
    assert volumes - sources == set(compose["volumes"])


def test_containers_get_the_variables_of_the_settings() -> None:
    text = (EXAMPLES / "cluster.toml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"env:(\w+)", text))
    service = _documents(COMPOSE)[0]["services"]["serve"]
    assert set(service["environment"]) == wanted == set(SECRETS)
    workers = [s for n, s in _documents(COMPOSE)[0]["services"].items() if "worker" in n]
    assert [set(each["environment"]) for each in workers] == [{"CERTPIN_WATCH_TOKEN"}]
    assert [each for each in workers if "volumes" in each] == []


def test_kubernetes_uses_documented_secrets_and_writes_to_no_disk() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    created = set(re.findall(r"kubectl create (?:configmap|secret generic) (\S+)", page))
    documents = [each for path in KUBERNETES for each in _documents(path)]
    text = "".join(path.read_text(encoding="utf-8") for path in KUBERNETES)
    named = set(re.findall(r"(?:configMap|secretRef): \{name: ([\w-]+)\}", text))
    named |= set(re.findall(r"secretName: ([\w-]+)", text))
    assert named == created
    containers = [each for document in documents for each in _containers(document)]
    assert len(containers) == 4
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers)
    assert all(m["readOnly"] for each in containers for m in each.get("volumeMounts", []))


def test_the_location_of_each_token_is_in_the_settings() -> None:
    vantages = re.search(r"vantages = (\[.*\])", (EXAMPLES / "cluster.toml").read_text())
    assert vantages
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"token add zurich-a --worker (\S+?)[\s`]", page))
    assert used == set(yaml.safe_load(vantages[1])) - {"local"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    program = Path(sys.executable)
    own = tmp_path / unit.name
    own.write_text(text.replace("/opt/certpin/bin/certpin", str(program)))
    argv: list[str | Path] = [require("systemd-analyze", "systemd"), "verify", "--man=no", own]
    done = subprocess.run(argv, capture_output=True, check=False)
    said = [line for line in done.stderr.decode().splitlines() if unit.name in line]
    assert (said, done.returncode) == ([], 0)


def test_nats_accepts_its_configuration() -> None:
    program = Path(sys.executable).with_name("nats-server")
    argv = [str(program), "-t", "-c", str(EXAMPLES / "nats.conf")]
    environment = {**os.environ, "NATS_PASSWORD": "letters4and9digits"}
    done = subprocess.run(argv, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    del environment["NATS_PASSWORD"]
    assert subprocess.run(argv, capture_output=True, check=False, env=environment).returncode
