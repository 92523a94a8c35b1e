"""``certpin export flutter --signed-root``: an app that can follow signed sets, or a refusal."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner

from tests.cli._pinfiles import write
from tests.kit import policy
from tests.updates._publisher import Repository

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Run

HOST = "api.bank.example"
URL = f"https://{HOST}/app/"


@pytest.fixture(autouse=True)
def publisher(run: Run, tmp_path: Path) -> Repository:
    write(policy(HOST, match="leaf"))
    repository = Repository(tmp_path / "site")
    Path("root.json").write_bytes(repository.first_root)
    return repository


def export(run: Run, *words: str, root: str = "root.json", url: str = URL) -> Done:
    wanted = ("--signed-root", root, "--signed-url", url, "--out", "lib")
    return run("export", "flutter", *wanted, *words)


def test_the_root_and_the_address_stand_in_the_app(run: Run, publisher: Repository) -> None:
    assert export(run).code == 0
    text = Path("lib/signed_source.dart").read_text()
    assert f"url: '{URL}'" in text
    root = "".join(re.findall(r"'([A-Za-z0-9+/=]+)'", text.partition("root:")[2]))
    assert base64.b64decode(root) == publisher.first_root
    assert Path("lib/pin_updates.dart").exists()
    assert export(run, "--check").code == 0


def test_without_them_nothing_of_signed_sets_is_written(run: Run) -> None:
    assert run("export", "flutter", "--out", "lib").code == 0
    assert not [path for path in Path("lib").iterdir() if "signed" in path.name]


def test_a_slash_at_the_end_of_the_address_goes_without_saying(run: Run) -> None:
    export(run, url=URL.rstrip("/"))
    assert f"url: '{URL}'" in Path("lib/signed_source.dart").read_text()


@pytest.mark.parametrize("half", [("--signed-root", "root.json"), ("--signed-url", URL)])
def test_half_of_a_source_is_none(run: Run, half: tuple[str, str]) -> None:
    done = run("export", "flutter", "--out", "lib", *half)
    assert done.code == 2
    assert "belong together" in done.err
    assert not Path("lib").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://api.bank.example/", "updates come from an address such as https://"),
        ("https://pins.example/", "no policy covers pins.example"),
        ("https://api.bank.example/$x/", "characters that need escapes in source code"),
        ("https://api.bank.example/'/", "characters that need escapes in source code"),
    ],
)
def test_an_address_that_no_app_could_use_is_refused(run: Run, url: str, said: str) -> None:
    done = export(run, url=url)
    assert done.code == 2
    assert said in done.err
    assert not Path("lib").exists()


def test_a_root_that_does_not_sign_itself_is_refused(run: Run) -> None:
    root = json.loads(Path("root.json").read_bytes())
    broken: list[Any] = [root | {"signatures": []}, {"signed": {}}, []]
    for changed in broken:
        Path("root.json").write_text(json.dumps(changed))
        done = export(run)
        assert done.code == 2
        assert "no root that signs itself" in done.err
        assert "publish/site/metadata" in done.err


def test_another_role_is_no_root(run: Run, publisher: Repository) -> None:
    publisher.publish('name = "bank"\nversion = 1\n')
    done = export(run, root=str(publisher.path("timestamp")))
    assert done.code == 2
    assert "this is timestamp metadata" in done.err


def test_an_endless_root_is_refused(run: Run) -> None:
    Path("root.json").write_bytes(b" " * (256 * 1024 + 1))
    assert "it has more than 262144 bytes" in export(run).err


def test_keys_that_dart_does_not_verify_are_told_before_the_app_is_released(
    run: Run, publisher: Repository
) -> None:
    publisher.keys["targets"] = [CryptoSigner.generate_ed25519()]
    publisher.rotate()
    done = export(run, root=str(publisher.path("root")))
    assert done.code == 2
    assert "Dart verifies 0 of the keys of targets, and 1 must sign" in done.err


def test_a_name_that_is_another_one_in_dart_is_refused(run: Run) -> None:
    path = Path("pins.toml")
    path.write_text(path.read_text().replace('name = "bank"', 'name = "bänk"', 1))
    done = export(run)
    assert done.code == 2
    assert "not the name of signed sets" in done.err


@pytest.mark.parametrize("name", ["flutter-pins", "android", "json"])
def test_other_formats_follow_nothing(run: Run, name: str) -> None:
    done = run("export", name, "--signed-root", "root.json", "--signed-url", URL, "--out", "lib")
    assert done.code == 2
    assert "does not support signed pin sets" in done.err


def test_without_tuf_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tuf.api.exceptions", None)
    done = export(run)
    assert done.code == 2
    assert "pip install 'certpin[updates]'" in done.err
