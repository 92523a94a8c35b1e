"""``certpin publish wultra``: a list that an app takes, from a pin file or from certificates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.hsm import generate_key
from certpin.pins import Pin
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.servers.softhsm import softhsm
from tests.updates.wultra._bank import HOST, Bank
from tests.updates.wultra._sdk import SDK

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity
    from tests.cli.conftest import Done, Run

END = datetime.now(UTC).replace(microsecond=0) + timedelta(days=60)
LIST = "fingerprints.json"


@pytest.fixture
def bank(run: Run) -> Bank:
    """Its key is in ``wultra.key``."""
    made = Bank()
    Path("wultra.key").write_bytes(made.pem)
    return made


@pytest.fixture
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def following(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def pins(run: Run, server: Identity, following: Identity) -> None:
    """A pin file with two certificates and a key."""
    whole = [Pin("cert-sha256", each.certificate.sha256) for each in (server, following)]
    write(kit.policy(HOST, *whole, kit.NOBODY, match="leaf", expires=END))


def publish(run: Run, *words: str | Path, **env: str) -> Done:
    return run("publish", "wultra", "--key", "wultra.key", *words, **env)


@pytest.mark.usefixtures("pins")
def test_an_app_takes_what_is_written(run: Run, bank: Bank, server: Identity) -> None:
    done = publish(run, "-o", LIST)
    assert done.code == 0, done.err
    app = SDK(bank.public_key)
    app.take(Path(LIST).read_bytes())
    assert app.validate(server.certificate.der) == "TRUSTED"
    assert f"Public key, for the SDK's configuration: {bank.public_key}\n" in done.out
    assert f"{HOST}  cert-sha256/" in done.out
    assert f"{kit.NOBODY} is left out" in done.err


@pytest.mark.usefixtures("pins")
def test_it_is_printed_where_no_place_is_named(run: Run, bank: Bank) -> None:
    done = publish(run)
    SDK(bank.public_key).take(done.out.encode())
    assert json.loads(done.out)["comment"]


@pytest.mark.usefixtures("pins")
def test_what_is_written_can_be_imported(run: Run, bank: Bank) -> None:
    publish(run, "-o", LIST)
    done = run("import", "wultra", LIST, "-f", "again.toml")
    assert done.code == 0, done.err


@pytest.mark.usefixtures("pins")
def test_json_is_as_documented(run: Run, bank: Bank, server: Identity) -> None:
    made = publish(run, "-o", LIST, "--json").json
    _documented.check("signed list", made)
    assert made["public_key"] == bank.public_key
    assert made["entries"][0] == {
        "name": HOST,
        "pin": str(Pin("cert-sha256", server.certificate.sha256)),
        "expires": END.isoformat(),
    }
    assert [made["file"], made["text"]] == [LIST, None]
    assert made["losses"][0]["aspect"] == "pins"
    printed = publish(run, "--json").json
    _documented.check("signed list", printed)
    SDK(bank.public_key).take(printed["text"].encode())


def test_certificates_are_listed_in_place_of_the_pin_file(
    run: Run, bank: Bank, server: Identity, following: Identity
) -> None:
    Path("chain.pem").write_bytes(server.chain_pem)  # the first counts
    Path("next.der").write_bytes(following.certificate.der)
    done = publish(run, "--certificate", "chain.pem", "--certificate", "next.der", "-o", LIST)
    assert done.code == 0, done.err
    app = SDK(bank.public_key)
    app.take(Path(LIST).read_bytes())
    assert [app.validate(each.certificate.der) for each in (server, following)] == ["TRUSTED"] * 2
    assert len(app.stored) == 2


def test_the_public_key_alone(run: Run, bank: Bank) -> None:
    assert publish(run, "--public-key").out == bank.public_key + "\n"
    made = publish(run, "--public-key", "--json").json
    _documented.check("signed list", made)
    assert (made["public_key"], made["entries"], made["text"]) == (bank.public_key, [], None)


@pytest.mark.usefixtures("pins")
def test_a_key_with_a_passphrase(run: Run) -> None:
    pem, _ = new_private_key("p256", b"correct horse")
    Path("wultra.key").write_bytes(pem)
    assert publish(run, "-o", LIST, CERTPIN_PASSPHRASE="correct horse").code == 0
    wrong = publish(run, "-o", LIST, CERTPIN_PASSPHRASE="wrong horse")
    assert (wrong.code, "horse" in wrong.err) == (2, False)


@pytest.mark.usefixtures("pins")
def test_where_it_is_refused_the_old_list_stays(run: Run, bank: Bank, server: Identity) -> None:
    Path(LIST).write_text("the old one")
    pem, _ = new_private_key("p384", None)
    Path("wultra.key").write_bytes(pem)
    refused = publish(run, "-o", LIST)
    assert (refused.code, "P-256 alone" in refused.err) == (2, True)
    Path("wultra.key").write_bytes(server.key_pem)
    Path("server.pem").write_bytes(server.chain_pem)
    own = publish(run, "--certificate", "server.pem", "-o", LIST)
    assert (own.code, "whoever takes that server" in own.err) == (2, True)
    assert Path(LIST).read_text() == "the old one"


def test_what_is_no_certificate(run: Run, bank: Bank) -> None:
    done = publish(run, "--certificate", "wultra.key", "-o", LIST)
    assert (done.code, "no certificate in wultra.key" in done.err) == (2, True)
    assert publish(run, "--certificate", "none.pem").code == 2


def test_a_place_that_cannot_be_written_to(run: Run, bank: Bank, server: Identity) -> None:
    Path("server.pem").write_bytes(server.chain_pem)
    done = publish(run, "--certificate", "server.pem", "-o", "no/folder.json")
    assert (done.code, "cannot be written" in done.err) == (2, True)


@pytest.mark.peer("softhsm2")
@pytest.mark.usefixtures("pins")
def test_a_key_on_a_token_signs(
    run: Run, server: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "pkcs11:token=bank;object=wultra"
    with softhsm(monkeypatch) as hsm:
        monkeypatch.setenv("CERTPIN_PKCS11_PIN", hsm.pin)
        generate_key(uri, hsm.ask, "p256").close()
        public = run("publish", "wultra", "--key", uri, "--public-key").out.strip()
        done = run("publish", "wultra", "--key", uri, "-o", LIST)
        assert done.code == 0, done.err
        app = SDK(public)
        app.take(Path(LIST).read_bytes())
        assert app.validate(server.certificate.der) == "TRUSTED"
        missing = run("publish", "wultra", "--key", "pkcs11:token=bank;object=none")
        assert missing.code == 2
        generate_key("pkcs11:token=bank;object=big", hsm.ask, "p384").close()
        big = run("publish", "wultra", "--key", "pkcs11:token=bank;object=big")
        assert (big.code, "P-256 alone" in big.err) == (2, True)
