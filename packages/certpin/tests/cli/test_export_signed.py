"""``certpin export flutter --signed-root``: an app that can fetch signed sets, or a refusal."""

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


def test_the_app_contains_the_root_and_the_address(run: Run, publisher: Repository) -> None:
    assert export(run).code == 0
    text = Path("lib/signed_source.dart").read_text()
    assert f"url: '{URL}'" in text
    root = "".join(re.findall(r"'([A-Za-z0-9+/=]+)'", text.partition("root:")[2]))
    assert base64.b64decode(root) == publisher.first_root
    assert {path.name for path in Path("lib").iterdir()} == {"pins.dart", "signed_source.dart"}
    assert export(run, "--check").code == 0


def test_the_app_can_contain_a_copy_of_the_library(run: Run) -> None:
    assert export(run, "--vendored").code == 0
    assert "import 'updates.dart';" in Path("lib/signed_source.dart").read_text()
    assert Path("lib/src/updates/pin_updates.dart").exists()
    assert export(run, "--vendored", "--check").code == 0
    Path("lib/src/check.dart").write_text("// changed\n")
    done = export(run, "--vendored", "--check")
    assert done.code == 1
    assert "lib/src/check.dart" in done.out
    assert export(run, "--check").code == 1  # the pins import the copy, not the package


def test_without_them_nothing_of_signed_sets_is_written(run: Run) -> None:
    assert run("export", "flutter", "--out", "lib").code == 0
    assert not [path for path in Path("lib").iterdir() if "signed" in path.name]


def test_a_slash_is_added_to_the_address(run: Run) -> None:
    export(run, url=URL.rstrip("/"))
    assert f"url: '{URL}'" in Path("lib/signed_source.dart").read_text()


@pytest.mark.parametrize("half", [("--signed-root", "root.json"), ("--signed-url", URL)])
def test_root_and_address_must_be_used_together(run: Run, half: tuple[str, str]) -> None:
    done = run("export", "flutter", "--out", "lib", *half)
    assert done.code == 2
    assert "must be used together" in done.err
    assert not Path("lib").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://api.bank.example/", "updates come from an address such as https://"),
        ("https://pins.example/", "no policy covers pins.example"),
        ("https://pins.example/", "certpin add pins.example --match leaf --backup-key FILE"),
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
        assert "not a valid self-signed root" in done.err
        assert "publish/site/metadata" in done.err


def test_metadata_of_another_role_is_refused_as_root(run: Run, publisher: Repository) -> None:
    publisher.publish('name = "bank"\nversion = 1\n')
    done = export(run, root=str(publisher.path("timestamp")))
    assert done.code == 2
    assert "this is timestamp metadata" in done.err


def test_a_root_above_the_size_limit_is_refused(run: Run) -> None:
    Path("root.json").write_bytes(b" " * (256 * 1024 + 1))
    assert "it has more than 262144 bytes" in export(run).err


def test_key_types_that_dart_lacks_are_refused(run: Run, publisher: Repository) -> None:
    publisher.keys["targets"] = [CryptoSigner.generate_ed25519()]
    publisher.rotate()
    done = export(run, root=str(publisher.path("root")))
    assert done.code == 2
    assert "Dart verifies 0 of the keys of targets, and 1 must sign" in done.err


def test_a_pin_set_name_that_dart_would_change_is_refused(run: Run) -> None:
    path = Path("pins.toml")
    path.write_text(path.read_text().replace('name = "bank"', 'name = "bänk"', 1))
    done = export(run)
    assert done.code == 2
    assert "not the name of signed sets" in done.err


@pytest.mark.parametrize("name", ["flutter-pins", "android", "json"])
def test_other_formats_refuse_signed_sets(run: Run, name: str) -> None:
    done = run("export", name, "--signed-root", "root.json", "--signed-url", URL, "--out", "lib")
    assert done.code == 2
    assert "does not support signed pin sets" in done.err


def test_without_tuf_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tuf.api.exceptions", None)
    done = export(run)
    assert done.code == 2
    assert "pip install 'certpin[updates]'" in done.err
