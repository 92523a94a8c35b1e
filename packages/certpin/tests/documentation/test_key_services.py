"""docs/guides/key-services.md: its commands work with AWS KMS, and its policy is enough."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.kms import ServiceURI
from certpin.kms.uri import SERVICES
from tests import kit
from tests.cli._pinfiles import write
from tests.cli.conftest import invoke
from tests.documentation._blocks import DOCS, blocks, shell_script
from tests.servers.aws_kms import aws_kms

if TYPE_CHECKING:
    from tests.servers.aws_kms import AWSKMS

HOST = "api.bank.example"


@pytest.mark.slow
def test_its_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy(HOST))
    with aws_kms(monkeypatch) as aws:
        aws.make(alias="pins-online")
        aws.make(alias="backup")
        lines = shell_script("guides/key-services.md").splitlines()
        commands = [line for line in lines if line.startswith("certpin ")]
        assert len(commands) == 6
        for line in commands:
            words = shlex.split(line)[1:]
            # No server of the pin file runs here.
            offline = ["--offline"] if words[:2] == ["publish", "sign"] else []
            done = invoke(*words, *offline)
            assert done.code == 0, f"{line}: {done.err}"
        assert Path("backup.csr").read_text(encoding="ascii").startswith("-----BEGIN")
        _check_policy(aws)


def _check_policy(aws: AWSKMS) -> None:
    """The policy of the page allows the operations that were used, and no other."""
    (policy,) = [each.text for each in blocks("guides/key-services.md") if each.language == "json"]
    (statement,) = json.loads(policy)["Statement"]
    assert {*statement["Action"]} == {f"kms:{name}" for name in aws.operations}


def test_the_page_names_every_service_with_its_extra_and_uri() -> None:
    page = (DOCS / "guides/key-services.md").read_text(encoding="utf-8")
    for scheme, service in SERVICES.items():
        assert str(ServiceURI.parse(f"{scheme}:{_valid(scheme)}"))
        assert f"| `{service.extra}` | `{scheme}:" in page
        assert page.count(f"| {service.title}") >= 3  # its URI, its permissions, and its CI


def _valid(scheme: str) -> str:
    example = SERVICES[scheme].example.partition(":")[2]
    return example.replace("VAULT", "vault").replace("VERSION", "1" if scheme == "hv" else "a" * 32)
