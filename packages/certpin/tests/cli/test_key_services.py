"""Commands with keys in cloud key services: keys that sign pin sets, and servers' keys."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.x509 import load_pem_x509_csr

from certpin.cli.named_key import resolve_key, serving_note
from certpin.cli.options import key_place
from certpin.pinfile import PinSet
from certpin.publish.settings import load
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._signed_sets import FOLDER, documented, follow, out
from tests.cli.conftest import HOST
from tests.servers.aws_kms import AWSKMS, aws_kms
from tests.servers.moto import SECRET, TOKEN
from tests.servers.vault import TOKEN as VAULT_TOKEN
from tests.servers.vault import Vault, vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

ONLINE = "awskms:alias/pins-online"
INIT = ("--root-key", "root.key", "--targets-key", "targets.key", "--online-key")
VAULT_URI = "hv:pins-online/1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[AWSKMS]:
    with aws_kms(monkeypatch) as server:
        yield server


@pytest.fixture
def hv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with vault(monkeypatch) as server:
        yield server


def written() -> str:
    """Return the joined text of every file in the current folder and below."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    return "".join(path.read_text(errors="replace") for path in files)


# Signed pin sets.


@pytest.mark.slow
def test_the_online_key_is_in_aws_kms(run: Run, aws: AWSKMS) -> None:
    write(kit.policy(HOST))
    aws.make(alias="pins-online")
    made = documented(run, "init", *INIT, ONLINE)
    online = made["keys"][-1]
    assert (online["place"], online["made"], online["kind"]) == (ONLINE, False, "EC P-256")
    assert made["flutter"]
    assert not Path(ONLINE).exists()
    out(run)
    documented(run, "sign", "targets.key", ONLINE)
    assert follow() == 3
    aws.calls.clear()
    documented(run, "sign", ONLINE)  # the daily job, without a file of a private key
    assert {*aws.operations} == {"GetPublicKey", "Sign"}
    assert {call.get("MessageType") for name, call in aws.calls if name == "Sign"} == {"DIGEST"}
    assert follow() == 3
    assert not any(secret in written() for secret in (SECRET, TOKEN))
    assert stat.S_IMODE(Path("root.key").stat().st_mode) == 0o600


@pytest.mark.slow
def test_every_role_may_be_in_aws_kms_and_is_replaced_there(run: Run, aws: AWSKMS) -> None:
    write(kit.policy(HOST))
    for name in ("root", "targets", "online", "targets2"):
        aws.make(alias=name)
    root, targets, online, new = (
        f"awskms:alias/{name}" for name in ("root", "targets", "online", "targets2")
    )
    words = ("--root-key", root, "--targets-key", targets, "--online-key", online)
    first = documented(run, "init", *words)["keys"][1]["key"]
    out(run)
    documented(run, "sign", targets, online)
    added = documented(run, "add-key", new, "--role", "targets", "--replace", first[:12])
    assert (added["place"], added["made"]) == (new, False)
    documented(run, "sign", root, new, online)
    assert follow() == 3
    assert [path.name for path in Path().glob("*.key")] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [("init", *INIT), ("add-key", "--role", "online")])
def test_a_type_that_clients_do_not_verify_is_refused_at_once(
    run: Run, aws: AWSKMS, words: tuple[str, ...]
) -> None:
    write(kit.policy(HOST))
    if words[0] == "add-key":
        documented(run, "init", *INIT, "online.key")
    aws.make("ECC_NIST_P521", alias="pins-online")
    before = sorted(Path().rglob("*"))
    refused = run("publish", *words, ONLINE)
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert "clients of signed pin sets verify only ECDSA on P-256 and P-384" in said
    assert "ECC_NIST_P256" in said
    assert sorted(Path().rglob("*")) == before


@pytest.mark.slow
def test_nothing_is_written_if_the_service_signs_with_another_key(run: Run, aws: AWSKMS) -> None:
    write(kit.policy(HOST))
    aws.make(alias="pins-online")
    documented(run, "init", *INIT, ONLINE)
    out(run)
    before = written()
    aws.swapped = aws.make()
    refused = run("publish", "sign", "targets.key", ONLINE)
    assert (refused.code, "signature that is not valid" in refused.err) == (2, True)
    assert written() == before


@pytest.mark.slow
def test_an_alias_of_another_key_signs_nothing(run: Run, aws: AWSKMS) -> None:
    write(kit.policy(HOST))
    aws.make(alias="pins-online")
    documented(run, "init", *INIT, ONLINE)
    out(run)
    before = written()
    aws.move_alias("pins-online", aws.make())
    refused = run("publish", "sign", ONLINE)
    assert (refused.code, "signs nothing here" in refused.err) == (2, True)
    assert written() == before


def test_an_ed25519_key_of_vault_excludes_flutter(run: Run, hv: Vault) -> None:
    write(kit.policy(HOST))
    hv.make("pins-online", "ed25519")
    made = run("publish", "init", *INIT, VAULT_URI)
    assert made.code == 0
    assert "Dart verifies 0 of the keys of" in " ".join(made.out.split())
    assert not load(FOLDER / "publish.toml").flutter


def test_an_ed25519_key_is_not_added_while_flutter_apps_follow(run: Run, hv: Vault) -> None:
    write(kit.policy(HOST))
    documented(run, "init", *INIT, "online.key")
    hv.make("pins-online", "ed25519")
    refused = run("publish", "add-key", VAULT_URI, "--role", "online")
    assert refused.code == 2
    assert "Dart verifies 0 of the keys of" in " ".join(refused.err.split())
    hv.make("pins-online", "ecdsa-p256")
    documented(run, "add-key", VAULT_URI, "--role", "online")


def test_a_p256_key_of_vault_signs_for_flutter_too(run: Run, hv: Vault) -> None:
    write(kit.policy(HOST))
    hv.make("pins-online")
    assert documented(run, "init", *INIT, VAULT_URI)["flutter"]
    out(run)
    documented(run, "sign", "targets.key", VAULT_URI)
    assert follow() == 3
    assert VAULT_TOKEN not in written()


def test_a_refusal_leaves_no_new_key(run: Run, hv: Vault) -> None:
    write(kit.policy(HOST))
    refused = run("publish", "init", *INIT, "hv:missing/1")
    assert (refused.code, "InvalidPath" in refused.err) == (2, True)
    assert VAULT_TOKEN not in refused.err
    assert [path.name for path in Path().iterdir()] == ["pins.toml"]


# Keys of servers.


@pytest.mark.slow
def test_a_leaf_key_in_aws_kms_is_pinned_and_certified(run: Run, aws: AWSKMS) -> None:
    write(kit.policy(HOST))
    uri = f"awskms:{aws.make()}"
    shown = run("pin", uri, "--json")
    assert shown.code == 0, shown.err
    (target,) = shown.json["targets"]
    _documented.check("service", target)
    _documented.check("key", target["items"][0])
    assert (target["source"], target["service"]) == ("service", uri)
    assert target["items"][0]["source"] == "key in a service"
    requested = run("rotate", "csr", uri, "--host", HOST)
    assert requested.code == 0, requested.err
    request = load_pem_x509_csr(requested.out.encode())
    assert request.is_signature_valid
    assert "can't be installed on a server that reads key files" in " ".join(requested.err.split())
    found: Any = run("rotate", "csr", uri, "--host", HOST, "--json").json
    assert found["pin"] == target["items"][0]["pin"]


@pytest.mark.slow
def test_a_taken_key_says_which_servers_can_use_it(aws: AWSKMS) -> None:
    uri = f"awskms:{aws.make()}"
    taken = resolve_key(uri)
    assert taken.key_type == "EC P-256"
    assert taken.note.startswith("key awskms:")
    assert "can't be installed on a server that reads key files" in serving_note(key_place(uri))
    assert serving_note(key_place(str(kit.NOBODY))) == ""


def test_only_aws_kms_has_keys_of_servers(run: Run) -> None:
    write(kit.policy(HOST))
    for words in (("pin", "hv:leaf/1"), ("rotate", "csr", "hv:leaf/1", "--host", HOST)):
        refused = run(*words)
        assert (refused.code, "can't be a server's key" in refused.err) == (2, True)


def test_no_key_is_made_in_a_service(run: Run) -> None:
    write(kit.policy(HOST))
    for words in (
        ("add", "www.bank.example", "--backup-key", "awskms:alias/backup"),
        ("rotate", "start", "--new", "awskms:alias/backup"),
    ):
        refused = run(*words)
        assert (refused.code, "certpin makes no key in AWS KMS" in refused.err) == (2, True)
    assert [path.name for path in Path().iterdir()] == ["pins.toml"]
    assert len(PinSet.load("pins.toml").policies) == 1
