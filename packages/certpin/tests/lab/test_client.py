"""Programs as clients: their arguments, their environment, and their end."""

from __future__ import annotations

import errno
import json
import os
import ssl
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from certpin import PinSet
from certpin.lab import Authority
from certpin.lab.attacks import CONTROL
from certpin.lab.client import (
    SUBSTITUTIONS,
    Call,
    Command,
    environment,
    substitute,
    write_client_files,
)
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from tests.lab._clients import ends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.target import Target


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


@pytest.fixture
def target(lab: Lab) -> Iterator[Target]:
    case_server = lab.case_server(CONTROL)
    yield case_server.open()
    case_server.close()


def python(program: str, *words: str, **fields: Any) -> Command:
    command = Command((sys.executable, "-c", program, *words))
    return replace(command, **fields)


def test_every_substitution_is_replaced(target: Target) -> None:
    names = SUBSTITUTIONS.keys() - {"anchors", "anchors2"}  # only a client of the style ca has them
    words = substitute([f"{{{name}}}" for name in names], target)
    assert not [word for word in words if "{" in word]
    assert substitute(["--connect-to={host}:443:127.0.0.1:{port}"], target) == [
        f"--connect-to=api.bank.example:443:127.0.0.1:{target.port}"
    ]


def test_the_files_hold_old_roots_without_a_warning(tmp_path: Path) -> None:
    """Writing the client's files with a root that has a negative serial number gives no warning.

    ``cryptography`` warns about such numbers, and the tests treat warnings as errors.
    """
    root = Authority("Old Root").certificate.der
    start = root.index(b"\xa0\x03\x02\x01\x02\x02") + 5  # version, then the serial number
    negative = root[: start + 2] + b"\x80" + root[start + 3 :]
    write_client_files(tmp_path, ssl.DER_cert_to_PEM_cert(negative).encode())
    assert (tmp_path / "trusted.p12").stat().st_size


def test_braces_of_the_command_itself_stay(target: Target) -> None:
    words = ["{print $1}", '{"a": {"b": 1}}', "{unknown}", "{}"]
    assert substitute(words, target) == words


def test_exit_status_shows_acceptance(target: Target) -> None:
    assert python("print('fine')").run(target).content
    refused = python("import sys; sys.exit('no')").run(target)
    assert (refused.status, refused.output, refused.content) == (1, "no\n", False)


def test_a_function_that_raises_refused(target: Target) -> None:
    assert Call(lambda _: "fine").run(target).output == "fine"

    def refuse(_: Target) -> None:
        raise ValueError("not pinned")

    ending = Call(refuse).run(target)
    assert (ending.content, ending.output) == (False, "ValueError: not pinned")


def test_a_program_that_is_not_there_is_a_problem(target: Target) -> None:
    ending = Command(("no-such-program",)).run(target)
    assert (ending.status, ending.content) == (None, False)
    assert "no-such-program did not start" in ending.problem


def test_a_program_that_dies_has_the_number_of_its_signal(target: Target) -> None:
    assert python("import os; os.abort()").run(target).status == -6


@pytest.mark.slow
def test_a_program_that_does_not_end_is_ended_with_its_children(
    target: Target, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    program = (
        "import subprocess, sys, pathlib, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(p.pid))\n"
        "print('waiting', flush=True)\n"
        "time.sleep(600)\n"
    )
    ending = python(program, patience=3.0).run(target)
    assert (ending.status, ending.output) == (None, "waiting\n")
    assert ending.problem == "the client did not end within 3 s"
    assert ends(int(child.read_text()))


def test_a_child_that_outlives_its_parent_is_ended_too(target: Target) -> None:
    program = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid)\n"
    )
    ending = python(program).run(target)
    assert ending.content
    assert ends(int(ending.output))


@pytest.mark.medium
@pytest.mark.parametrize(("program", "status"), [("'fine'", 0), ("time.sleep(600)", None)])
def test_process_end_is_polled_on_old_kernels(
    target: Target, monkeypatch: pytest.MonkeyPatch, program: str, status: int | None
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    # Not deleted, because the standard library's wait() also calls it from Python 3.15 on.
    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    patience = 20 if status == 0 else 0.2
    assert python(f"import time; {program}", patience=patience).run(target).status == status


def test_a_run_can_be_stopped_from_another_thread(target: Target, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    client = python(f"import time; open({str(begun)!r}, 'w').close(); time.sleep(600)")
    endings = []
    thread = threading.Thread(target=lambda: endings.append(client.run(target)))
    thread.start()
    begun.open(encoding="ascii").close()
    client.stop()
    thread.join()
    assert [ending.status for ending in endings] == [-9]


def test_stop_also_kills_a_client_that_just_started(target: Target) -> None:
    class Late(set[Any]):
        def add(self, process: Any) -> None:
            client.stop()
            super().add(process)

    client = python("import time; time.sleep(600)", _running=Late())
    assert client.run(target).status == -9


def test_a_client_that_was_stopped_does_not_begin(target: Target, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    client = python(f"open({str(begun)!r}, 'w').close()")
    client.stop()
    ending = client.run(target)
    assert (ending.status, ending.problem) == (None, "the run was interrupted")
    assert not begun.exists()


def test_only_the_end_of_a_long_output_is_kept(target: Target) -> None:
    ending = python("print('x' * 1_000_000 + 'the end')").run(target)
    assert ending.output.endswith("the end\n")
    assert len(ending.output) < 10_000
    assert ending.cut
    called = Call(lambda _: "x" * 1_000_000).run(target)
    assert (len(called.output) < 10_000, called.cut) == (True, True)


def test_a_short_output_is_kept_whole(target: Target) -> None:
    assert not python("print('x' * 8191)").run(target).cut
    assert not Call(lambda _: "x" * 8192).run(target).cut


def test_a_long_output_begins_with_a_whole_character(target: Target) -> None:
    ending = python("print('\U0001d11e' * 10_000)").run(target)  # four bytes each
    assert ending.cut
    assert "\ufffd" not in ending.output


_SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def _surroundings(target: Target, via: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(python(_SHOW, via=via).run(target).output)
    return found


def test_environment_directs_clients_only_to_the_lab(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.company.example:3128")
    monkeypatch.setenv("no_proxy", "api.bank.example")
    port = _surroundings(target, "port")
    assert not {port[name] for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "no_proxy")} - {
        ""
    }
    assert _surroundings(target, "connect")["https_proxy"] == target.proxy
    assert _surroundings(target, "socks5")["ALL_PROXY"] == target.socks
    assert _surroundings(target, "socks5")["no_proxy"] == ""


@pytest.mark.parametrize("name", ["PASSPHRASE", "PKCS11_PIN", "WATCH_TOKEN"])
def test_the_secrets_of_certpin_are_not_in_the_environment(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"CERTPIN_{name}", "hunter2")
    monkeypatch.setenv("API_TOKEN", "of the client")
    found = _surroundings(target, "connect")
    assert f"CERTPIN_{name}" not in found
    assert found["API_TOKEN"] == "of the client"


def test_the_environment_makes_clients_trust_the_lab(target: Target) -> None:
    found = _surroundings(target, "connect")
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert found[name] == str(target.ca)
    assert list(Path(found["SSL_CERT_DIR"]).iterdir()) == []
    assert f"-Djavax.net.ssl.trustStore={target.truststore}" in found["JAVA_TOOL_OPTIONS"]
    assert found["CERTPIN_PINS"] == str(target.pins)


@pytest.mark.parametrize(("via", "value"), [("connect", "1"), ("socks5", None), ("port", None)])
def test_node_uses_the_http_proxy(target: Target, via: str, value: str | None) -> None:
    assert environment(target, via).get("NODE_USE_ENV_PROXY") == value


def test_the_pins_that_are_handed_over_are_those_of_the_style() -> None:
    for style, role in ((Style.LEAF, "leaf"), (Style.CA, "intermediate")):
        with Lab(style=style) as lab:
            case_server = lab.case_server(CONTROL)
            target = case_server.open()
            case_server.close()
            policy = PinSet.load(target.pins).policy_for("api.bank.example")
            pki = lab.pki("api.bank.example")
        assert policy is not None
        assert policy.pins[0].role == role
        expected = pki.leaf.pin if style is Style.LEAF else pki.intermediate.pin
        assert str(expected) == target.pin


def test_client_folder_has_only_the_client_key(lab: Lab, target: Target) -> None:
    for path in lab.folder.rglob("*"):
        if path.suffix == ".p12":
            key, certificate, _ = pkcs12.load_key_and_certificates(path.read_bytes(), b"changeit")
            assert (key, certificate) == (None, None)
        elif path == target.client_key:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        elif path.is_file():
            assert b"PRIVATE" not in path.read_bytes()


def test_a_host_may_be_longer_than_the_name_of_a_file() -> None:
    host = ".".join(["a" * 63] * 3 + ["b" * 61])
    with Lab(host) as lab:
        case_server = lab.case_server(CONTROL)
        target = case_server.open()
        case_server.close()
        assert target.certificate.is_file()
        assert PinSet.load(target.pins).policy_for(host)


def test_the_folder_is_gone_when_the_lab_is() -> None:
    with Lab() as lab:
        lab.case_server(CONTROL)
        folder = lab.folder
        assert folder.is_dir()
    assert not folder.exists()
