"""``certpin doctor``: checks of real servers, of changed settings, and of broken environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.cli.doctor.packages import import_errors
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.servers._run import free_port
from tests.servers.listeners import dated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab import Authority, Identity
    from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.medium

# Imports only the packages that a test is about: all of them take seconds.
_RUN = """
import sys
from certpin.cli.doctor import packages
from certpin.cli.main import main
real = packages.import_errors
packages.import_errors = lambda names: real([name for name in names if name in IMPORTED])
sys.argv[0] = 'certpin'
main()
"""


def _check(done: Done, subject: str) -> dict[str, Any]:
    """Return the result of the check named ``subject``. Fail unless the JSON is as documented."""
    _documented.check("doctor", done.json)
    (found,) = [check for check in done.json["checks"] if check["subject"] == subject]
    assert (found["fix"] is not None) == (found["status"] in {"problem", "unchecked"})
    return dict(found)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the doctor's imports of packages, which take seconds, and unset variables of TLS."""
    monkeypatch.setattr("certpin.cli.doctor.packages.import_errors", lambda _modules: {})
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "CERTPIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(identity: Identity, tmp_path: Path) -> tuple[Path, Path]:
    """Write the certificate chain and the private key of a server, and return the paths of both."""
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_bytes(identity.chain_pem)
    key.write_bytes(identity.key_pem)
    return certificate, key


def _date(**error: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**error), usegmt=True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (0, "ok", "it differs by"),
        (-3600, "problem", "ahead of"),
        (3600, "problem", "behind"),
        (240, "ok", "it differs by"),
    ],
)
def test_the_clock_is_compared_with_a_server_of_the_pin_file(
    run: Run, server: tuple[Path, Path], ca: Path, error: int, status: str, text: str
) -> None:
    with dated(*server, _date(seconds=error)) as port:
        _write_pins(port, ca)
        done = run("doctor", "--json")
    clock = _check(done, "clock")
    assert (clock["status"], done.code) == (status, int(status == "problem"))
    assert text in clock["text"]
    assert _check(done, f"server localhost:{port}")["status"] == "ok"
    assert _check(done, "pin file")["status"] == "ok"


def _write_pins(port: int, ca: Path) -> None:
    write(kit.policy("localhost"), trust=ca)
    pins = Path("pins.toml")
    table = f'[[host.server]]\naddress = "localhost:{port}"\n\n[[host.pin]]'
    pins.write_text(pins.read_text().replace("[[host.pin]]", table, 1))


@pytest.mark.usefixtures("quick")
def test_the_clock_is_compared_although_the_chain_does_not_verify(
    run: Run, server: tuple[Path, Path]
) -> None:
    with dated(*server, _date(hours=2)) as port:
        done = run("doctor", "--host", f"localhost:{port}", "--json")
    assert done.code == 1
    assert "its chain does not verify" in _check(done, f"server localhost:{port}")["text"]
    assert _check(done, "clock")["status"] == "problem"


@pytest.mark.usefixtures("quick")
def test_a_server_without_a_date_does_not_prove_the_clock(
    run: Run, server: tuple[Path, Path], ca: Path
) -> None:
    with dated(*server, "") as port:
        _write_pins(port, ca)
        done = run("doctor", "--json")
    assert (_check(done, "clock")["status"], done.code) == ("unchecked", 0)


@pytest.mark.usefixtures("quick")
def test_a_server_that_does_not_answer_is_a_problem(run: Run) -> None:
    port = free_port()
    done = run("doctor", "--host", f"127.0.0.1:{port}", "--json")
    assert done.code == 1
    assert "no connection" in _check(done, f"server 127.0.0.1:{port}")["text"]


@pytest.mark.usefixtures("quick")
def test_a_server_that_a_broken_installation_can_not_contact_is_a_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "certpin.cli.doctor.servers", None)
    done = run("doctor", "--host", "a.example", "--json")
    assert done.code == 1
    assert "the library of certpin can't be imported" in _check(done, "server a.example")["text"]


@pytest.mark.usefixtures("quick")
def test_the_servers_of_a_pin_file_that_a_broken_installation_can_not_contact_are_a_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch, ca: Path
) -> None:
    _write_pins(free_port(), ca)
    monkeypatch.setitem(sys.modules, "certpin.cli.doctor.servers", None)
    done = run("doctor", "--json")
    assert done.code == 1
    assert "the library of certpin can't be imported" in _check(done, "server localhost")["text"]


@pytest.mark.usefixtures("quick")
def test_without_servers_the_clock_and_the_network_are_not_called_good(run: Run) -> None:
    done = run("doctor", "--json")
    assert done.code == 0
    assert _check(done, "clock")["status"] == _check(done, "network")["status"] == "unchecked"


@pytest.mark.usefixtures("quick")
def test_offline_contacts_no_server(run: Run, ca: Path) -> None:
    _write_pins(free_port(), ca)
    done = run("doctor", "--offline", "--json")
    assert done.code == 0
    assert _check(done, "network")["status"] == "unchecked"


@pytest.mark.usefixtures("quick")
def test_an_invalid_pin_file_is_a_problem_that_lint_explains(run: Run) -> None:
    Path("pins.toml").write_text("schema = 1\nname = 3\n")
    done = run("doctor", "--json")
    assert done.code == 1
    assert _check(done, "pin file")["fix"] == "certpin lint"


def test_a_host_that_is_no_host_is_an_error_of_usage(run: Run) -> None:
    assert run("doctor", "--host", "a..b").code == 2


@pytest.mark.usefixtures("quick")
def test_no_value_of_the_environment_is_printed(run: Run, tmp_path: Path) -> None:
    secret = "correct-horse-battery"
    variables = {
        "HTTPS_PROXY": f"http://user:{secret}@127.0.0.1:3128",
        "all_proxy": f"socks5://{secret}@127.0.0.1:1",
        "SSLKEYLOGFILE": str(tmp_path / secret),
        "SSL_CERT_FILE": str(tmp_path / f"{secret}.pem"),
        "CERTPIN_PASSPHRASE": secret,
    }
    text, document = run("doctor", **variables), run("doctor", "--json", **variables)
    assert secret not in text.out + text.err + document.out + document.err
    assert text.code == document.code == 1
    assert "HTTPS_PROXY, ALL_PROXY" in _check(document, "proxy")["text"]
    assert _check(document, "SSLKEYLOGFILE")["status"] == "problem"
    assert "does not exist" in _check(document, "SSL_CERT_FILE")["text"]


@pytest.mark.slow
def test_every_part_works_in_the_environment_of_the_tests(run: Run) -> None:
    done = run("doctor", "--offline", "--json")
    states = {part["part"]: part["status"] for part in done.json["parts"]}
    other = {name: status for name, status in states.items() if status != "works"}
    # Three are in separate environments, and some packages have no wheels for each Python.
    assert set(other) <= {
        "client: niquests",
        "keys in Azure Key Vault",
        "keys in Google Cloud KMS",
        "source of apps",
        "attacks through a tunnel",
    }, other
    assert set(other.values()) <= {"missing", "impossible"}


@pytest.mark.parametrize(
    ("patch", "status", "connections"),
    [
        ("from gevent import monkey; monkey.patch_all()", "note", "works"),
        ("import eventlet; eventlet.monkey_patch()", "problem", "impossible"),
        ("import truststore; truststore.inject_into_ssl()", "note", "works"),
    ],
)
def test_a_library_that_replaced_the_tls_of_python_is_named(
    tmp_path: Path, patch: str, status: str, connections: str
) -> None:
    library = patch.split()[1].rstrip(";")
    document = _document(tmp_path, patch, EVENTLET_NO_GREENDNS="yes")
    (check,) = [check for check in document["checks"] if check["subject"] == "ssl"]
    assert (check["status"], check["text"].split()[0]) == (status, library)
    (part,) = [each for each in document["parts"] if each["part"] == "pinned connections"]
    assert part["status"] == connections
    assert document["exit_code"] == int(status == "problem")


def test_servers_are_contacted_although_gevent_replaced_the_tls_of_python(
    tmp_path: Path, server: tuple[Path, Path], root: Authority
) -> None:
    """The help of ``doctor`` says how to run it with the modules that gevent replaced."""
    patch = "from gevent import monkey; monkey.patch_all()"
    (tmp_path / "root.pem").write_bytes(root.pem)
    with dated(*server, _date()) as port:
        words = ("--host", f"localhost:{port}")
        document = _document(tmp_path, patch, words=words, SSL_CERT_FILE=str(tmp_path / "root.pem"))
    checks = {each["subject"]: each for each in document["checks"]}
    assert checks[f"server localhost:{port}"]["status"] == "ok"
    assert (checks["clock"]["status"], "it differs by" in checks["clock"]["text"]) == ("ok", True)


def _document(
    folder: Path,
    start: str,
    *,
    words: Sequence[str] = ("--offline",),
    imported: str = "",
    path: Path | None = None,
    **env: str,
) -> Any:
    """Run ``certpin doctor --json`` in another process, and return its JSON.

    Args:
        folder: the current folder.
        start: Python code that runs first.
        words: other arguments of the command.
        imported: the module that the doctor imports.
        path: a folder of modules.
        env: more environment variables.
    """
    program = f"{start}\nIMPORTED = {(imported,)}\n{_RUN}"
    variables = dict(os.environ)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        variables.pop(name, None)
    variables |= env
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", *words, "--json"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", None),
        ("raise RuntimeError('no\\nsecond line')", "RuntimeError: no"),
        ("raise OSError('https://me:secret@x.example/')", "OSError: https://…@x.example/"),
        ("import os; raise KeyError(os.environ.get('SECRET', 'unset'))", "KeyError: 'unset'"),
        ("raise BaseException('panic')", "BaseException: panic"),
        ("raise ValueError('x' * 1000)", f"ValueError: {'x' * 188}"),
        ("import os; os._exit(7)", "its import ends Python, with exit code 7"),
        ("print('certpin-doctor:[]', 'noise'); raise SystemExit(0)", "SystemExit: 0"),
        ("print('certpin-doctor:[]'); print('certpin-doctor:x')", None),
    ],
)
def test_the_error_of_an_import_is_found_and_contains_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, expected: str | None
) -> None:
    (tmp_path / "odd.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET", "secret")
    found = {} if expected is None else {"odd": expected}
    assert import_errors(["odd", "json"]) == found


def test_no_module_of_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert "No module named 'odd'" in import_errors(["odd"])["odd"]
    assert not (tmp_path / "ran").exists()


def test_a_package_that_fails_at_import_breaks_only_its_part(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "numpy.py").write_text("raise RuntimeError('no')")
    document = _document(tmp_path, "", imported="numpy", path=modules)
    states = {part["part"]: part for part in document["parts"]}
    assert states["simulation of a rotation"]["status"] == "broken"
    assert "RuntimeError: no" in states["simulation of a rotation"]["text"]
    assert states["lint"]["status"] == states["client: httpx"]["status"] == "works"
    assert document["exit_code"] == 1


def test_the_doctor_runs_although_a_package_of_certpin_itself_is_broken(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    (modules / "cryptography").mkdir(parents=True)
    (modules / "cryptography/__init__.py").write_text("raise ImportError('libssl.so.9')")
    (tmp_path / "pins.toml").write_text("schema = 1\n")
    document = _document(tmp_path, "", imported="cryptography", path=modules)
    checks = {check["subject"]: check for check in document["checks"]}
    assert "cryptography fails at import: ImportError: libssl.so.9" in checks["packages"]["text"]
    assert {part["status"] for part in document["parts"]} == {"broken", "works"}
    assert [part["part"] for part in document["parts"] if part["status"] == "works"] == [
        "this installation"
    ]


@pytest.mark.usefixtures("quick")
def test_the_text_has_a_fix_for_each_obstacle(run: Run) -> None:
    done = run("doctor", "--host", f"127.0.0.1:{free_port()}")
    assert done.code == 1
    lines = done.out.splitlines()
    obstacles = [index for index, line in enumerate(lines) if line.startswith("  problem")]
    assert obstacles
    assert all(lines[index + 1].strip().startswith("fix: ") for index in obstacles)
    assert lines[-1].startswith("1 problem, ")
