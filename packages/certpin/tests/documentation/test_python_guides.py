"""The code of the guides for Python: clients, failures, and keys on tokens."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin.lab import LabServer
from certpin.pins import Pin
from certpin.x509.keys import public_key
from tests import kit
from tests._wheels import ROOT
from tests.documentation._blocks import blocks, shell_script
from tests.documentation._played import Served
from tests.documentation._reader import play
from tests.servers.softhsm import softhsm

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority

HOST = "api.bank.example"
ADD = f"certpin add {HOST} --backup-key backup.key"


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_an_adapter_a_context_and_an_example_connect(tmp_path: Path) -> None:
    texts = [each.text for each in blocks("guides/python-clients.md") if each.language == "python"]
    files = {f"{number}.py": text for number, text in enumerate(texts)}
    script = f"""\
{ADD}
ln -s {ROOT}/examples examples
{shell_script("guides/python-clients.md")}
"""
    programs = [f"CERTPIN_PINS=pins.toml python -W error {name}" for name in files]
    reader = play(tmp_path, [Served((HOST,))], "\n".join([script, *programs]), files)
    assert "HTTP/1.1 200" in reader.output


def test_a_refusal_is_shown_to_the_user_and_counted(root: Authority) -> None:
    asked, counted = (
        each.text for each in blocks("guides/failures.md") if each.language == "python"
    )
    counts: list[dict[str, str]] = []
    heard = threading.Event()

    def count(name: str, **labels: str) -> None:
        counts.append({"name": name, **labels})
        heard.set()

    pins = kit.pin_set(kit.policy("localhost"))
    names: dict[str, Any] = {"metrics": SimpleNamespace(count=count), "pins": pins}
    exec(counted, names)
    names["context"].load_verify_locations(cadata=root.certificate.der)
    with LabServer(root.issue("localhost")) as server:
        exec(asked.replace(HOST, f"localhost:{server.port}"), names)
        client = names["PinnedClient"](names["context"])
        with client, pytest.raises(SystemExit, match="isn't safe") as caught:
            names["balance"](client)
    assert isinstance(caught.value.__cause__, certpin.PinMismatchError)
    assert heard.wait(10)
    assert counts == [{"name": "pin_failure", "host": "localhost", "reason": "mismatch"}]


@pytest.mark.slow
@pytest.mark.peer("softhsm2", "unshare", "ip")
def test_a_key_on_a_token_is_generated_pinned_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = (each.text for each in blocks("guides/pkcs11.md") if each.language == "python")
    with softhsm(monkeypatch) as hsm:
        variables = {
            "SOFTHSM2_CONF": str(hsm.folder / "softhsm2.conf"),
            "CERTPIN_PKCS11_PIN": hsm.pin,
        }
        script = "\n".join([ADD, "certpin rotate shipped 1", shell_script("guides/pkcs11.md")])
        reader = play(tmp_path, [Served((HOST,))], script, environment=variables)
        assert (reader.folder / "next.csr").read_text(encoding="ascii").startswith("-----BEGIN")
        hsm.forget()
        names: dict[str, Any] = {"read_pin": lambda token: hsm.pin}
        exec(code.replace("key.spki  ", "spki = key.spki  "), names)
        pin = Pin.of_key(public_key(names["spki"]).spki_sha256)
    assert str(pin) in reader.output
