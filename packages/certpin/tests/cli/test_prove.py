"""``certpin prove``: attacks on real clients, the verdicts, and the report files."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from certpin.cli.prove import check_placeholders
from certpin.lab import Authority, Identity, LabServer
from certpin.lab.lab import remove_leftovers
from certpin.lab.server.port import Port
from tests.cli import _documented
from tests.cli._terminal import on_terminal
from tests.cli.conftest import Run, program

HOST = "api.bank.example"
FEW = ("--case", "rogue-ca-in-store", "--case", "rot-backup-live")

# A client without pins, and one that checks its pin after the response.
_FETCH = """
import http.client, os, ssl, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
url = urllib.parse.urlsplit(os.environ["CERTPIN_LAB_URL"])
connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=10)
connection.set_tunnel(url.hostname, 443)
connection.request("GET", url.path)
print(connection.getresponse().read().decode())
"""
_LATE = (
    _FETCH.replace(
        'connection.request("GET", url.path)',
        """connection.request("GET", url.path)
der = connection.sock.getpeercert(binary_form=True)""",
    )
    + """
import base64, hashlib
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
key = x509.load_der_x509_certificate(der).public_key()
spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
pin = base64.b64encode(hashlib.sha256(spki).digest()).decode()
sys.exit(pin not in os.environ["CERTPIN_LAB_PINS"])
"""
)


def python(text: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", text)


# A client that resolves the host with the lab's resolver.
_RESOLVING = """
import socket, ssl, sys
import dns.resolver
host, port, nameserver, canary = sys.argv[1:]
resolver = dns.resolver.Resolver(configure=False)
address, _, resolver.port = nameserver.partition(":")
resolver.nameservers, resolver.port = [address], int(resolver.port)
[found] = resolver.resolve(host, "A")
context = ssl.create_default_context()
with socket.create_connection((found.address, int(port)), 10) as sock:
    with context.wrap_socket(sock, server_hostname=host) as tls:
        tls.sendall(f"GET /{canary} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        print(tls.recv(4096))
"""

CERTPIN = ("--", sys.executable, "-m", "certpin.cli.main", "get", "--connect", "127.0.0.1:{port}")


@pytest.mark.medium
def test_a_client_with_certpin_passes(run: Run) -> None:
    remove_leftovers()  # of this user's killed runs: the command would report them
    done = run("prove", "--verbose", *FEW, *CERTPIN, "{url}")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:4] for line in done.out.splitlines() if line.startswith("right")] == [
        ["right", "control-good", "accept", "ACCEPT"],
        ["right", "rogue-ca-in-store", "refuse", "REJECT"],
        ["right", "rot-backup-live", "accept", "ACCEPT"],
        ["right", "control-good", "accept", "ACCEPT"],
    ]
    assert "The one attack did not get through." in done.out


@pytest.mark.medium
@pytest.mark.parametrize("words", [("{endpoint}",), ("{address}", "{port}"), ("{address}",)])
def test_a_command_that_names_the_labs_address_uses_no_proxy(
    run: Run, words: tuple[str, ...]
) -> None:
    show = "import os, sys; print(os.environ['HTTPS_PROXY'] or sys.argv[-1])"
    done = run("prove", "--json", *FEW, *python(show), *words, "{url}")
    [attempt, *_] = done.json["results"][0]["attempts"]
    assert re.fullmatch(rf"https://{HOST}:\d+/canary-\w+\n", attempt["output"])


@pytest.mark.medium
def test_a_client_without_pins_fails_and_gets_a_fix(run: Run) -> None:
    done = run("prove", "--verbose", *FEW, *python(_FETCH))
    assert done.code == 1
    assert "the attack got through: the client accepted it" in done.out
    assert "fix: " in done.out
    assert done.out.startswith("1 of 1 attack got through.\n")


@pytest.mark.medium
def test_the_same_client_passes_with_style_none(run: Run) -> None:
    assert run("prove", "--style", "none", *FEW, *python(_FETCH)).code == 0


_TWO_WAYS = """
import http.client, os, ssl, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
url = urllib.parse.urlsplit(os.environ["CERTPIN_LAB_URL"])
address = (proxy.hostname, proxy.port) if proxy.hostname else tuple(sys.argv[1:3])
if proxy.hostname:
    connection = http.client.HTTPSConnection(*address, timeout=10)
    connection.set_tunnel(url.hostname, 443)
    connection.request("GET", url.path)
    print(connection.getresponse().read().decode())
else:
    import socket, certpin
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    context.load_verify_locations(os.environ["SSL_CERT_FILE"])
    with socket.create_connection(address, 10) as sock:
        with context.wrap_socket(sock, server_hostname=url.hostname) as tls:
            tls.sendall(f"GET {url.path} HTTP/1.1\\r\\nHost: {url.hostname}\\r\\n\\r\\n".encode())
            print(tls.recv(4096).decode())
"""


@pytest.mark.slow
def test_both_ways_are_tried_in_one_run(run: Run) -> None:
    words = (*python(_TWO_WAYS), "{address}", "{port}")
    one = run("prove", "--json", *FEW, *words)
    assert (one.code, one.json["ways"]) == (0, ["port"])
    assert one.json["refused_connections"] == 1
    assert one.json["skip_bound"] == 0.95
    both = run("prove", "--json", "--via", "all", *FEW, *words)
    assert (both.code, both.json["ways"]) == (1, ["connect", "port"])
    assert both.json["skip_bound"] is None
    assert "connect: ACCEPT, port: REJECT" in both.json["results"][1]["why"]


@pytest.mark.slow
def test_attacks_are_repeated_until_the_bound_is_reached(run: Run) -> None:
    done = run("prove", "--json", "--bound", "20", *FEW, *CERTPIN, "{url}")
    assert (done.code, done.json["bound"], done.json["skip_bound"]) == (0, 0.2, 0.1926)
    assert done.json["refused_connections"] == 14
    missed = run("prove", "--bound", "20", *FEW[2:], *CERTPIN, "{url}")
    assert missed.code == 3
    assert "The --bound was not reached" in missed.out


@pytest.mark.slow
def test_a_client_can_use_the_labs_resolver(run: Run) -> None:
    words = ("{host}", "{port}", "{dns}", "{canary}")
    done = run("prove", "--style", "none", *FEW, *python(_RESOLVING), *words)
    assert done.code == 0, done.out


@pytest.mark.medium
def test_a_pin_that_is_checked_after_the_request_is_a_leak(run: Run) -> None:
    done = run("prove", *FEW, "--json", *python(_LATE))
    assert done.code == 1
    verdicts = {result["case"]: result["verdict"] for result in done.json["results"]}
    assert verdicts["rogue-ca-in-store"] == "LEAK"
    assert verdicts["rot-backup-live"] == "ACCEPT"


def test_a_command_that_cannot_be_run_is_inconclusive(run: Run) -> None:
    """The interpreter of the client's script is missing, which only starting it reveals."""
    script = Path("client")
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = run("prove", *FEW, "--", "./client")
    assert done.code == 3
    assert "./client did not start" in done.out
    assert "Nothing is proven" in done.out


def test_a_client_without_a_connection_is_inconclusive(run: Run) -> None:
    done = run("prove", *FEW, "--", "true")
    assert done.code == 3
    assert "the client never connected to the lab" in done.out


_IGNORES_PROXIES = """
const [url] = process.argv.slice(-1);
const agent = new (require("node:https").Agent)();
require("node:https").get(url, { agent }, (got) => {
  got.resume().on("end", () => process.exit(got.statusCode === 200 ? 0 : 1));
}).on("error", (error) => { console.error(error.code); process.exit(1); });
"""


@pytest.mark.peer("node")
@pytest.mark.slow
def test_a_client_that_ignores_proxies_gets_a_command_that_works(run: Run) -> None:
    Path("it's x.js").write_text(_IGNORES_PROXIES, encoding="utf-8")
    few = ("--style=none", *FEW, "--client-certificate", "--jobs", "1")
    done = run("prove", *few, "--", "node", "it's x.js", "https://{host}/")
    assert done.code == 3
    assert "never connected to the lab through an HTTP proxy: it probably ignores the" in done.out
    [command] = re.findall(r"^ {2}(certpin prove .*)$", done.out, re.MULTILINE)
    words = shlex.split(command)[1:]
    assert words[:5] == ["prove", "--host", "localhost", "--via", "port"]
    assert words[5:] == [
        *("--style", "none", *FEW, "--client-certificate", "--jobs", "1", "--"),
        *("node", "it's x.js", "https://{host}:{port}/"),
    ]
    words.remove("--client-certificate")  # this client has none
    again = run(*words)
    assert again.code == 0, again.out
    assert "never connected" not in again.out


@pytest.mark.peer("curl")
@pytest.mark.slow
def test_a_client_that_looks_the_host_up_gets_a_command_that_works(run: Run) -> None:
    done = run("prove", "--style", "none", "--via", "port", *FEW, "--", "curl", "-sS", "{url}")
    assert done.code == 3
    [command] = re.findall(r"^ {2}(certpin prove .*)$", done.out, re.MULTILINE)
    assert run(*shlex.split(command)[1:]).code == 0


@pytest.mark.medium
def test_all_reports_describe_the_same_run(run: Run) -> None:
    files = ("--junit", "r.xml", "--sarif", "r.sarif", "--html", "r.html")
    done = run("prove", "--json", *FEW, *files, *python(_FETCH))
    assert done.code == 1
    document = done.document
    del document["command"]  # of certpin; the report has that of the client
    _documented.check("run", {name: document[name] for name in _documented.tables()["run"]})
    assert document.keys() == _documented.tables()["run"].keys()
    suites = ET.parse("r.xml").getroot()
    failures = [
        case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None
    ]
    assert failures == ["rogue-ca-in-store"]
    [sarif] = json.loads(Path("r.sarif").read_text())["runs"]
    assert [result["ruleId"] for result in sarif["results"]] == ["rogue-ca-in-store"]
    page = Path("r.html").read_text()
    assert "rogue-ca-in-store" in page
    assert "<svg" in page


def _sarif_place(file: str) -> str:
    (log,) = json.loads(Path(file).read_text())["runs"]
    found = {
        location["physicalLocation"]["artifactLocation"]["uri"]
        for result in log["results"]
        for location in result["locations"]
    }
    (only,) = found
    return str(only)


@pytest.mark.medium
def test_sarif_has_the_named_location(run: Run) -> None:
    words = ("--sarif", "r.sarif", "--sarif-location", "app/pins.toml")
    assert run("prove", *FEW, *words, *python(_FETCH)).code == 1
    assert _sarif_place("r.sarif") == "app/pins.toml"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--sarif", "r.sarif", "--sarif-location", "https://a.example/"), "is a URL"),
        (("--sarif-location", "pins.toml"), "needs --sarif FILE"),
    ],
)
def test_a_location_that_code_scanning_refuses_is_refused(
    run: Run, words: tuple[str, ...], problem: str
) -> None:
    done = run("prove", *FEW, *words, "--", "true")
    assert done.code == 2
    assert problem in done.err


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_an_error(run: Run) -> None:
    done = run("prove", "--html", "no/such/folder.html", *FEW, *CERTPIN, "{url}")
    assert done.code == 2
    assert "no/such/folder.html" in done.err


@pytest.mark.medium
def test_a_report_is_written_although_the_reader_closed_the_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    page = tmp_path / "r.html"
    few = FEW[:2]
    process = program("prove", "--html", page, *few, *python(_FETCH), stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")
    assert "rogue-ca-in-store" in page.read_text(encoding="utf-8")


@pytest.mark.medium
def test_the_result_is_printed_although_a_report_cannot_be_written(run: Run) -> None:
    Path("r.xml").symlink_to("/dev/full")
    done = run("prove", "--junit", "r.xml", *FEW[:2], *python(_FETCH))
    assert done.code == 2
    assert "r.xml cannot be written" in done.err
    assert "rogue-ca-in-store" in done.out
    done = run("prove", "--json", "--junit", "r.xml", *FEW[:2], *python(_FETCH))
    assert (done.code, done.document["exit_code"]) == (2, 2)
    assert "r.xml cannot be written" in done.document["error"]["message"]
    assert [each["case"] for each in done.document["results"]][1:-1] == ["rogue-ca-in-store"]


@pytest.mark.medium
def test_no_report_is_left_out_because_another_cannot_be_written(run: Run) -> None:
    for full in ("r.xml", "r.sarif"):
        Path(full).symlink_to("/dev/full")
    reports = ("--junit", "r.xml", "--sarif", "r.sarif", "--html", "r.html", "--evidence", "proof")
    done = run("prove", *reports, *FEW[:2], *python(_FETCH))
    assert done.code == 2
    assert "r.xml cannot be written: No space left on device; r.sarif cannot be" in done.err
    assert "rogue-ca-in-store" in Path("r.html").read_text(encoding="utf-8")
    assert (Path("proof") / "SHA256SUMS").is_file()
    assert "cd proof && sha256sum -c" in done.out


@pytest.mark.medium
def test_a_run_without_tried_cases_is_inconclusive(run: Run) -> None:
    done = run("prove", "--style", "none", "--case", "pool-reuse", *python(_FETCH))
    assert done.code == 3
    assert "Not run\n  pool-reuse: " in done.out


@pytest.mark.medium
def test_the_cases_that_the_policy_decides_are_listed(run: Run) -> None:
    done = run("prove", "--style", "none", "--case", "redirect-to-http", *python(_FETCH))
    assert done.code == 0
    assert "1 case had no right or wrong result: your policy decides." in done.out
    assert "Your policy decides\n  redirect-to-http: refused\n" in done.out


@pytest.mark.medium
def test_a_machine_without_free_ports_is_reported(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(3))

    def port(*words: Any, **named: Any) -> Port:
        if next(left, None) is None:
            raise OSError(errno.EMFILE, "Too many open files")
        return Port(*words, **named)

    monkeypatch.setattr("certpin.lab.lab.Port", port)
    done = run("prove", *FEW, *CERTPIN, "{url}")
    assert done.code == 3
    assert "the lab cannot listen: Too many open files" in done.out
    assert "--jobs 1" in done.out


@pytest.mark.medium
def test_a_client_can_get_its_pins_in_the_format_of_a_platform(run: Run) -> None:
    reads = """
import json, sys
[first, second] = json.load(open(sys.argv[1]))["hosts"]
print(first["pattern"], *(pin["pin"] for pin in first["pins"]))
"""
    done = run("prove", *FEW, "--json", *python(reads), "{export:json}")
    assert done.code == 3  # it opened no connection
    output = done.json["results"][0]["attempts"][0]["output"]
    assert output.startswith(f"{HOST} sha256/")


def test_an_unknown_format_is_an_error_before_the_run(run: Run) -> None:
    done = run("prove", *FEW, "--", "true", "{export:crul}")
    assert done.code == 2
    assert "there is no format 'crul'" in done.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("{pinnedpubky}", "{pinnedpubkey}"),
        ("--cacert={cafile}", "{ca}"),
        ("{URL}", "{url}"),
        ("https://{hostname}/", "{host}"),
        ("{export:Curl}", "{export:curl}"),
    ],
)
def test_a_name_like_a_placeholder_is_an_error_before_the_run(
    run: Run, word: str, meant: str
) -> None:
    done = run("prove", *FEW, "--", "true", word)
    assert done.code == 2
    assert f"Did you mean {meant}?" in done.err


@pytest.mark.parametrize(
    "word",
    [
        "print(f'{hosts}')",  # code
        "{ print $1 }",
        "{ URL }",
        '{"ports":{"url":1}}',
        "{{hosts}}",  # a template
        "${HOST}",
        "%{urls}",
        "{}",
        "{0}",
        "{name}",
        "{host}{port}",
    ],
)
def test_other_braces_belong_to_the_client(word: str) -> None:
    check_placeholders(("client", word))


def test_pins_that_a_platform_cannot_express_are_an_error(run: Run) -> None:
    done = run("prove", "--style", "ca", *FEW, "--", "true", "{export:wget}")
    assert done.code == 3
    assert "Nothing is proven: the client cannot be served." in done.out
    assert "wget cannot have these pins" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--case", "rouge-ca-in-store"), "Did you mean 'rogue-ca-in-store'?"),
        (("--case", "nonsense"), "certpin lab attacks"),
        (("--style", "spki"), "'none', 'leaf', 'ca'"),
        (("--pins", "no-such-file"), "does not exist"),
        (("--jobs", "0"), "range"),
        (("--host", "not a host"), "not a host"),
        (("--via", "all"), "{address}, {port} or {endpoint}"),
        (("--stall", "-1"), "range"),
    ],
)
def test_wrong_usage_is_reported(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("prove", *words, "--", "true")
    assert done.code == 2
    assert said in done.err


def test_without_a_command_the_usage_is_printed(run: Run) -> None:
    done = run("prove")
    assert done.code == 2
    assert "COMMAND" in done.err


@pytest.fixture
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.mark.slow
def test_a_released_app_with_its_real_pins(run: Run, identity: Identity, root: Authority) -> None:
    """The lab has no key for the pins of the real server, so it relays to that server."""
    Path("root.pem").write_bytes(root.pem)
    with LabServer(identity, b"from the real server\n") as server:
        where = ("--ca-file", "root.pem", "--connect", f"127.0.0.1:{server.port}")
        assert run("add", HOST, "--backup-key", "backup.key", *where).code == 0
        Path("app").mkdir()
        Path("app/root.pem").write_bytes(root.pem)
        pins = Path("pins.toml").rename("app/pins.toml").resolve()
        app = (*CERTPIN[:4], "get", "-f", str(pins), *CERTPIN[5:], "{url}")
        upstream = ("--upstream", f"127.0.0.1:{server.port}", "--ca-file", "root.pem")
        real = ("--pins", "app/pins.toml", *upstream)
        done = run("prove", "--verbose", *real, *FEW, *app)
        assert run("prove", *real, "--sarif", "r.sarif", *FEW, *python(_FETCH)).code == 1
    assert _sarif_place("r.sarif") == "app/pins.toml"
    assert done.code == 0, done.out
    assert "it needs the private key of the real server's backup" in done.out
    assert [line.split()[3] for line in done.out.splitlines() if line.startswith("right")] == [
        "ACCEPT",
        "REJECT",
        "ACCEPT",
    ]


@pytest.mark.slow
def test_pins_that_refuse_the_real_server_are_named(
    run: Run, identity: Identity, intermediate: Authority, root: Authority
) -> None:
    Path("root.pem").write_bytes(root.pem)
    new = intermediate.issue(HOST)
    with LabServer(identity) as server, LabServer(new) as changed:
        where = ("--ca-file", "root.pem", "--connect", f"127.0.0.1:{server.port}")
        assert run("add", HOST, "--backup-key", "backup.key", *where).code == 0
        pins = Path("pins.toml").rename("my pins.toml")
        address = f"127.0.0.1:{changed.port}"
        real = ("--pins", str(pins), "--upstream", address)
        app = (*CERTPIN[:4], "get", "-f", str(pins.resolve()), *CERTPIN[5:], "{url}")
        done = run("prove", *real, *FEW[:2], *app)
        unpinned = run("prove", *real, "--ca-file", "root.pem", *FEW[:2], *python(_FETCH))
        as_json = run("prove", "--json", *real, *FEW[:2], *app).json
        [check] = re.findall(r"fix: compare them: (certpin check .*?)\. While", done.out)
        checked = run(*shlex.split(check)[1:])
        [pin] = re.findall(r"which (certpin pin .*?) prints", done.out)
        pinned = run(*shlex.split(pin)[1:])
    problem = (
        f"Clients with the pins of my pins.toml refuse the real server at {address}: no pin of the "
        "file matches its key, nor another key of its chain"
    )
    assert done.code == 3
    assert f"{problem}.\n" in done.out
    assert "Correct the pins or the server first: see the fix of control-good." in done.out
    assert "the lab's root" not in done.out
    assert "certpin rotate status --file 'my pins.toml'" in done.out
    assert checked.code == 1
    assert "no pin matches the chain that it serves" in checked.out
    assert str(new.pin) in pinned.out
    assert unpinned.code == 1
    assert f"{problem}, but this client accepted it: it has other pins, or none.\n" in unpinned.out
    assert f"{problem}." in as_json["summary"]
    assert as_json["results"][0]["advice"].startswith("compare them: certpin check")


def test_pins_for_another_host_are_refused(run: Run, identity: Identity, root: Authority) -> None:
    Path("root.pem").write_bytes(root.pem)
    with LabServer(identity) as server:
        where = ("--ca-file", "root.pem", "--connect", f"127.0.0.1:{server.port}")
        assert run("add", HOST, "--backup-key", "backup.key", *where).code == 0
        real = ("--pins", "pins.toml", "--upstream", f"127.0.0.1:{server.port}")
        done = run("prove", "--host", "other.example", *real, "--ca-file", "root.pem", "--", "true")
    assert done.code == 2
    assert "has no pins for other.example" in done.err


@pytest.mark.slow
def test_a_terminal_shows_the_progress() -> None:
    code, screen = on_terminal("prove", *FEW, *CERTPIN, "{url}")
    assert code == 0
    assert "The one attack did not get through." in screen
    assert screen.index("attacking") < screen.index("The one attack")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_leaves_no_file(tmp_path: Path, number: signal.Signals) -> None:
    begun = tmp_path / "begun"
    slow = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"
    process = program("prove", *FEW, *python(slow), env={"TMPDIR": str(tmp_path)})
    while not begun.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert list(tmp_path.iterdir()) == [begun]


@pytest.mark.slow
def test_the_files_of_a_killed_run_are_removed_and_reported(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    touch = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(1)"
    surroundings = {"TMPDIR": str(tmp_path)}
    process = program("prove", *FEW, *python(touch), env=surroundings)
    while not begun.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    [left] = tmp_path.glob("certpin-lab-*")
    _, err = program("prove", *FEW, *CERTPIN, "{url}", env=surroundings).communicate(timeout=60)
    assert f"certpin: removed {left}, left by a run that was killed\n" in err
    assert list(tmp_path.iterdir()) == [begun]


@pytest.mark.medium
def test_a_python_client_is_kept_warm(run: Run) -> None:
    warm = run("prove", "--warm", "--style", "none", *FEW, "--json", *python(_FETCH))
    cold = run("prove", "--style", "none", *FEW, "--json", *python(_FETCH))
    verdicts = [[case["verdict"] for case in done.json["results"]] for done in (warm, cold)]
    assert warm.code == cold.code == 0
    assert verdicts[0] == verdicts[1]


def test_only_python_is_kept_warm(run: Run) -> None:
    done = run("prove", "--warm", "--", "sh", "-c", "true")
    assert done.code == 2
    assert "--warm needs a command that begins with python" in done.err
    assert "fix: leave out --warm" in done.err


@pytest.mark.medium
def test_a_genuine_certificate_of_another_domain_is_one_more_case(run: Run, tmp_path: Path) -> None:
    authority = Authority("A public authority")
    chain, key = authority.issue("www.shop.example").write(tmp_path)
    words = ("--certificate", str(chain), "--key", str(key), *FEW[2:])
    done = run("prove", "--json", *words, *CERTPIN, "{url}")
    assert done.code == 0, done.err
    results = {result["case"]: result["outcome"] for result in done.document["results"]}
    assert results["genuine-for-other-domain"] == "right"
    fuzzed = run("prove", "--fuzz", "1", *words[:4], "--", "true")
    assert fuzzed.code == 2
    assert "leave out --certificate" in fuzzed.err
    own, _ = authority.issue(HOST).write(tmp_path, "own")
    refused = run("prove", "--certificate", str(own), "--key", str(key), "--", "true")
    assert refused.code == 2
    assert "--key" in refused.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--certificate", "chain.pem"), "need each other"),
        (("--key", "key.pem"), "need each other"),
        (("--certificate", "no.pem", "--key", "no.key"), "no.pem cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["prove", "lab serve"])
def test_a_certificate_without_its_key_is_refused(
    run: Run, command: str, words: tuple[str, ...], problem: str
) -> None:
    rest = ("--", "true") if command == "prove" else ("--host", HOST)
    done = run(*command.split(), *words, *rest)
    assert done.code == 2
    assert problem in done.err
