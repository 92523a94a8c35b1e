"""examples/watch and the pages of the docs, checked as far as possible without containers."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from certpin.cli.main import USAGE
from certpin.pins import normalise
from certpin_watch import settings
from certpin_watch.api.resources import RESOURCES
from certpin_watch.rules.engine import check_rule
from certpin_watch.settings.file import _TLS
from certpin_watch.settings.reader import known_keys
from scripts.docs.markdown import prose
from scripts.docs.service import TABLES, api_page, descriptions, settings_page
from tests.documentation._blocks import blocks
from tests.servers._run import require
from tests.watch._commands import check_next_command, parse

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
            *("operate/access", "operate/alerts", "operate/collector", "operate/monitor"),
            *("operate/service", "operate/operations"),
            *("guides/reporting", "reference/metrics.notes", "reference/service-api.notes"),
        )
    ),
]
SECRETS = {"NATS": "nats://127.0.0.1", "STORE": "sqlite:///watch.db"}
SECRETS |= {"WATCH_CHAT": "json://127.0.0.1", "WATCH_PAGER": "json://127.0.0.1"}

# Options are checked when a command runs; here they are only parsed.
_CALL = re.compile(r"(?:^|[ /(])certpin +((?:serve|watch|check|rotate|add|lint|publish)\b.*)")


def _documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _containers(document: Any) -> list[Any]:
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _in_lines(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of ``certpin`` in shell text.

    Comments, pipes and redirections are removed.
    """
    for line in text.replace("\\\n", " ").splitlines():
        plain = re.sub(r"\$\([^)]*\)", "VALUE", line)
        if (call := _CALL.search(plain)) and not line.lstrip().startswith(("#", "|")):
            words = re.split(r" {2,}| [|<>&]|\)", call[1])[0]
            yield shlex.split(words, comments=True)


def _calls() -> Iterator[tuple[str, list[str]]]:
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        yield from ((unit.name, words) for words in _in_lines(text))
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?m)^CMD (\[.*\])", text)
    yield "Containerfile", yaml.safe_load(command)
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
        shell = [each for each in blocks(str(page.relative_to(ROOT))) if each.language == "sh"]
        yield from ((page.name, words) for block in shell for words in _in_lines(block.text))


@pytest.mark.medium
def test_every_documented_command_exists() -> None:
    calls = list(_calls())
    assert len({place for place, _ in calls}) > 12  # the unit, each container, the pages
    for place, words in calls:
        try:
            parse(words)
        except click.ClickException as exc:
            pytest.fail(f"{place}: certpin {shlex.join(words)}: {exc.format_message()}")


def test_every_command_of_the_prometheus_rules_can_be_run() -> None:
    path = EXAMPLES / "prometheus/certpin-rules.yml"
    (document,) = _documents(path)
    texts = [rule["annotations"]["description"] for rule in document["groups"][0]["rules"]]
    assert all("{{" not in text or "{{ $labels.host }}" in text for text in texts)
    calls = [call for text in texts for call in re.findall(r": certpin (.+)", text)]
    assert len(calls) == sum(": certpin " in text for text in texts) > 6
    for call in calls:
        check_next_command(f"certpin {call.replace('{{ $labels.host }}', 'api.bank.example')}")


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
    found = [
        *blocks("operate/access.md"),
        *blocks("operate/alerts.md"),
        *blocks("operate/collector.md"),
        *blocks("operate/monitor.md"),
        *blocks("operate/operations.md"),
        *blocks("operate/service.md"),
        *blocks("reference/metrics.notes.md"),
    ]
    settings = [each.text for each in found if each.language == "toml"]
    return [text for text in settings if "[[host]]" not in text]  # those are pin files


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


def test_the_docs_have_every_setting_and_no_other() -> None:
    text = (DOCS / "operate/service.md").read_text(encoding="utf-8")
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name.strip("[]") for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(names) == sorted((*known_keys(settings.ServiceSettings), *_TLS))


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_of_a_table_is_described_with_its_default(name: str) -> None:
    kind, _ = TABLES[name]
    assert {item.name for item in fields(kind)} == descriptions(kind).keys()
    part = settings_page()["reference/settings.md"].partition(f"## `{name}`\n")[2]
    lines = part.partition("\n## ")[0].splitlines()
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines if line.startswith("| `")]
    tables_within = {"host", "oidc", "tell"}  # tables below this one
    assert [cell[0].strip("`") for cell in cells] == [
        key for key in known_keys(kind) if key not in tables_within
    ]
    assert all(len(cell) == 3 and cell[2] for cell in cells)


def test_every_resource_and_parameter_of_the_api_is_on_its_page() -> None:
    page = api_page()["reference/service-api.md"]
    for resource in RESOURCES:
        assert page.count(f"\n| `{resource.path}` | {prose(resource.about)} |") == 1
        for parameter in resource.parameters:
            assert f"\n| `{parameter.name}` | {prose(parameter.about.rstrip('.'))}" in page
    assert "| `/failures/groups` |" in page
    assert "newest first. | `cursor` `limit` filters |" in page
    assert re.search(r"\| `state` \| [^|]*: `open`, ", page)


def test_every_table_of_the_settings_is_on_the_page() -> None:
    plain = {each.strip("[]") for each in TABLES}
    values = vars(settings.ServiceSettings())
    tables = {name for name, value in values.items() if type(value).__name__.endswith("Settings")}
    assert plain == {*tables, "access.oidc", "alerts.tell", "monitor.host"}


def test_the_defaults_on_the_page_are_toml() -> None:
    text = settings_page()["reference/settings.md"]
    defaults = re.findall(r"(?m)^\| `(\w+)` \| `([^`]+)` \|", text)
    assert len(defaults) > 50
    for name, default in defaults:
        tomllib.loads(f"{name} = {default}")
    assert ("interval", '"15m"') in defaults
    assert ("behind_proxy", "false") in defaults
    assert "| `issuer` | required |" in text


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
    image = (EXAMPLES / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    assert set(build["args"]) == set(re.findall(r"(?m)^ARG (\w+)$", image))
    copied = [each.split()[:-1] for each in re.findall(r"(?m)^COPY (?!--from)(.*)$", image)]
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


def test_systemd_starts_the_service_until_its_database_is_there() -> None:
    """Exit code 3 is a database that is away; 2 is a mistake, which another start doesn't fix."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(EXAMPLES / "systemd/certpin-watch.service", encoding="utf-8")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    service = unit["Service"]
    restart = ("Restart", "RestartSec", "RestartPreventExitStatus")
    assert [service[key] for key in restart] == ["on-failure", "5", str(USAGE)]


def test_nats_accepts_its_configuration() -> None:
    program = Path(sys.executable).with_name("nats-server")
    argv = [str(program), "-t", "-c", str(EXAMPLES / "nats.conf")]
    environment = {**os.environ, "NATS_PASSWORD": "letters4and9digits"}
    done = subprocess.run(argv, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    del environment["NATS_PASSWORD"]
    assert subprocess.run(argv, capture_output=True, check=False, env=environment).returncode
