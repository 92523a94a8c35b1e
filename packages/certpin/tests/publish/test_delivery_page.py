"""docs/guides/delivery.md: its nginx configuration, policy, job and settings work."""

from __future__ import annotations

import json
import re
import ssl
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import click
import pytest
import yaml

from certpin.cli.publish import publish
from certpin.publish.settings import load
from tests.documentation import _blocks as documentation
from tests.publish._delivering import Delivered, delivering
from tests.servers.nginx import nginx
from tests.updates._publisher import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity

FOREVER = "public, max-age=31536000, immutable"


def _blocks(language: str) -> list[str]:
    found = documentation.blocks("guides/delivery.md")
    return [block.text for block in found if block.language == language]


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[Delivered]:
    with delivering(tmp_path, served) as world:
        yield world


@pytest.mark.slow
@pytest.mark.peer("nginx")
def test_both_clients_follow_behind_the_documented_nginx_configuration(
    world: Delivered, served: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lines,) = _blocks("nginx")
    uploads = world.push().uploads
    folders = {CHANNEL: world.server.folder}
    with nginx({CHANNEL: served}, folders=folders, lines=lines) as server:
        url = f"https://localhost:{server.port}/"
        monkeypatch.setattr(type(world.server), "url", url)
        assert world.both_follow() == 2
        for path in uploads:
            headers = urlopen(url + path, context=ssl.create_default_context()).headers
            expected = "no-cache" if path.endswith("timestamp.json") else FOREVER
            assert headers.get_all("Cache-Control") == [expected]
            kind = "json" if path.startswith("metadata/") else "octet-stream"
            assert headers["Content-Type"] == f"application/{kind}"
        with pytest.raises(HTTPError) as missing:
            urlopen(f"{url}metadata/2.root.json", context=ssl.create_default_context())
        assert (missing.value.code, missing.value.headers["Cache-Control"]) == (404, None)
        missing.value.close()
        world.repository.rotate("root")
        world.publish(3)
        world.push()
        assert world.both_follow("later") == 3


def test_its_settings_are_read(tmp_path: Path) -> None:
    file = tmp_path / "publish.toml"
    for text in _blocks("toml"):
        file.write_text(text)
        assert load(file).url


def test_its_policy_is_json() -> None:
    (policy,) = _blocks("json")
    assert len(json.loads(policy)["Statement"]) == 2


def test_the_documented_job_runs_existing_commands() -> None:
    (text,) = _blocks("yaml")
    (job,) = yaml.safe_load(text)["jobs"].values()
    script = "\n".join(step.get("run", "") for step in job["steps"])
    named = re.findall(r"^certpin publish ([\w-]+)", script, re.MULTILINE)
    assert named == ["sign", "push", "status"]
    assert set(named) <= set(publish.list_commands(click.Context(publish)))
