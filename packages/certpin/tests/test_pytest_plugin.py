"""certpin's pytest plugin, run in this process, in a separate process, and with pytest-xdist."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from certpin.cli.choices import LAB_PROTOCOLS
from tests.documentation._blocks import blocks
from tests.lab.own._own import GOOD, OTHER_ROOT, toml, write_files

pytestmark = pytest.mark.slow  # each starts a program

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _lean(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the pytest plugins of schemathesis and anyio in the tests' inner runs.

    They import more modules than the plugin of certpin does.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:schemathesis -p no:anyio")


CLIENT = """
import asyncio, json, os, socket, ssl, sys, pytest
from certpin import PinnedSSLContext, PinSet

def ask(target, context):
    with socket.create_connection((target.address, target.port), 10) as sock:
        with context.wrap_socket(sock, server_hostname=target.host) as tls:
            head = f"GET /{target.canary} HTTP/1.1\\r\\nHost: {target.host}\\r\\n\\r\\n"
            tls.sendall(head.encode())
            return tls.recv(4096)

def pinned(target):
    context = PinnedSSLContext(PinSet.load(target.pins))
    context.load_verify_locations(target.ca)
    return ask(target, context)

def unpinned(target):
    return ask(target, ssl.create_default_context(cafile=target.ca))
"""
# A few cases of each kind are enough here, because the matrix has its own tests.
FEW = 'cases=["untrusted-ca", "rogue-ca-in-store", "rot-backup-live"]'

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Return a function that writes a test file and runs it with pytest in this process.

    The file begins with the definitions of the clients under test. A separate process takes ten
    times as long to start; tests that need one use ``run_apart``.
    """

    def write_and_run(text: str, *words: str) -> pytest.RunResult:
        pytester.makepyfile(CLIENT + text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *words)

    return write_and_run


@pytest.fixture
def run_apart(pytester: pytest.Pytester) -> Run:
    """Return a function that writes a test file with the clients and runs it in a new process."""

    def write_and_run(text: str, *words: str) -> pytest.RunResult:
        pytester.makepyfile(CLIENT + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *words)

    return write_and_run


def test_the_plugin_is_registered_and_loads_nothing_until_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing(request):
            assert request.config.pluginmanager.hasplugin("certpin")
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"cryptography", "click", "idna", "rich", "tomlkit"}
            assert not [name for name in sys.modules if name.startswith("certpin.lab")]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_its_markers_and_options_are_declared(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.certpin(*", "@pytest.mark.mitm(*"]
    )
    help_text = pytester.runpytest_subprocess("--help").stdout
    help_text.fnmatch_lines(["*certpin_style*", "*certpin_host*", "*certpin_protocol*"])


def test_a_pinned_client_passes_every_case(run_apart: Run) -> None:
    done = run_apart(
        f"@pytest.mark.certpin({FEW})\ndef test_it(attack):\n    attack(pinned)\n", "-v"
    )
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(
        ["*test_it?untrusted-ca? PASSED*", "*rogue-ca-in-store*", "*rot-backup-live*"]
    )


def test_a_client_without_pins_fails_with_evidence_and_advice(run: Run) -> None:
    done = run(f"@pytest.mark.certpin({FEW})\ndef test_it(attack):\n    attack(unpinned)\n")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*WrongVerdictError: rogue-ca-in-store: *",
            "*the attack got through: the client accepted it*",
            "*fix: *",
            "*connection 1: via port, for api.bank.example, handshake finished, it sent*canary-*",
        ]
    )


def test_a_client_without_compromised_keys_is_skipped(run: Run) -> None:
    done = run(
        """
@pytest.mark.certpin(style="ca", cases=["compromised-key"])
def test_it(attack):
    attack(lambda target: target.pin and unpinned(target))

@pytest.mark.certpin(style="ca", cases=["compromised-key"])
def test_with_the_pin_file(attack):
    attack(pinned)
""",
        "-rs",
    )
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*compromised-key was not run*"])


@pytest.mark.slow
def test_without_cases_the_plugin_runs_all_meaningful_ones(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ncertpin_style = ca\n")
    pytester.makepyfile(CLIENT + "def test_it(attack):\n    attack(pinned)\n")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = done.parseoutcomes()
    assert "failed" not in outcomes
    assert outcomes["passed"] >= 45


def test_a_dead_client_passes_nothing(run: Run) -> None:
    done = run(
        f"""
def dead(target):
    raise OSError("no network here")

@pytest.mark.certpin({FEW})
def test_it(attack):
    attack(dead)
"""
    )
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(
        [
            "*InconclusiveError: untrusted-ca*",
            "*the good control failed*never connected*",
            "*fix: let the client trust `target.ca`*certpin_environment*",
            "*no network here*",
        ]
    )


def test_a_client_that_breaks_during_the_run_fails_the_last_control(run: Run) -> None:
    done = run(
        """
calls = []

def breaks(target):
    calls.append(target.case)
    if len(calls) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no trust anchors
        return ask(target, context)
    return pinned(target)

@pytest.mark.certpin(cases=["untrusted-ca", "rogue-ca-in-store"])
def test_it(attack):
    attack(breaks)

def test_the_control_ran_first_and_last():
    assert calls[0] == "control-good"
    assert calls[-1] == "control-good"
    assert calls.count("untrusted-ca") == 1
"""
    )
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*InconclusiveError: the good control no longer holds at the end*",
            "*fix: let the client trust `target.ca`*certpin_environment*",
        ]
    )


def test_each_client_has_a_separate_control(run: Run) -> None:
    done = run(
        f"""
def refuses(target):
    return ask(target, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # no trust anchors

@pytest.mark.parametrize("client", [pinned, refuses], ids=["sound", "refuses"])
@pytest.mark.certpin({FEW})
def test_it(attack, client):
    attack(client)
"""
    )
    done.assert_outcomes(passed=3, failed=3)


def test_a_case_that_does_not_run_is_skipped_with_its_reason(run: Run) -> None:
    done = run(
        '@pytest.mark.certpin(cases=["swap-on-reconnect", "starttls-strip"])\n'
        "def test_it(attack):\n    attack(pinned)\n",
        "-rs",
    )
    done.assert_outcomes(skipped=2)
    done.stdout.fnmatch_lines(
        [
            "SKIPPED*swap-on-reconnect was not run: *never made the attacked connection*",
            "SKIPPED*starttls-strip was not run: does not apply to a client that speaks http",
        ]
    )


def test_a_test_that_never_used_its_attack_fails(run: Run) -> None:
    done = run(f"@pytest.mark.certpin({FEW})\ndef test_it(attack):\n    pass\n")
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(["*UnusedAttackError: untrusted-ca: the test never called*"])


def test_an_attack_takes_one_client(run: Run) -> None:
    done = run(
        '@pytest.mark.certpin(cases=["untrusted-ca"])\n'
        "def test_it(attack):\n    attack(pinned)\n    attack(pinned)\n"
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*RuntimeError: attack was called twice*"])


def test_a_coroutine_function_is_a_client_too(run: Run) -> None:
    done = run(
        f"""
async def ask_async(target):
    context = PinnedSSLContext(PinSet.load(target.pins))
    context.load_verify_locations(target.ca)
    reader, writer = await asyncio.open_connection(
        target.address, target.port, ssl=context, server_hostname=target.host
    )
    writer.write(f"GET /{{target.canary}} HTTP/1.1\\r\\n\\r\\n".encode())
    answer = await reader.read()
    writer.close()
    return answer

@pytest.mark.certpin({FEW})
def test_it(attack):
    asyncio.run(attack.call_async(ask_async))
"""
    )
    done.assert_outcomes(passed=3)


@pytest.mark.parametrize("client", ["ask_async", "lambda target: ask_async(target)"])
def test_a_coroutine_function_that_is_called_as_a_function_is_an_error(
    run: Run, client: str
) -> None:
    done = run(
        f"""
async def ask_async(target):
    raise AssertionError

@pytest.mark.certpin(cases=["untrusted-ca"])
def test_it(attack):
    attack({client})
""",
        "-W",
        "error",
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*TypeError: the client is a coroutine function*", "*fix: *attack.call_async(client)*"]
    )
    done.stdout.no_fnmatch_line("*never awaited*")


@pytest.mark.peer("curl")
def test_a_command_is_a_client_too(run: Run) -> None:
    done = run(
        f"""
from certpin.lab.client import Command

@pytest.mark.certpin({FEW})
def test_it(attack):
    attack(Command(("curl", "-sS", "--cacert", "{{ca}}", "--pinnedpubkey",
        "{{pinnedpubkey}}", "{{url}}")))
"""
    )
    done.assert_outcomes(passed=3)


def test_a_man_in_the_middle_runs_during_a_test(run: Run) -> None:
    done = run(
        """
def test_refused(mitm):
    assert mitm.case == "rogue-ca-in-store"
    with pytest.raises(ssl.SSLError):
        pinned(mitm)
    assert mitm.met
    assert mitm.leaked == b""
    assert not mitm.seen()[0].data

@pytest.mark.mitm("rogue-ca-in-store")
def test_accepted(mitm):
    unpinned(mitm)
    assert mitm.canary.encode() in mitm.leaked

@pytest.mark.mitm("untrusted-ca")
@pytest.mark.certpin(host="other.bank.example")
def test_another(mitm):
    assert mitm.host == "other.bank.example"
    with pytest.raises(ssl.SSLCertVerificationError):
        unpinned(mitm)

@pytest.mark.mitm("starttls-strip")
def test_not_served(mitm):
    raise AssertionError
"""
    )
    done.assert_outcomes(passed=3, skipped=1)


def test_a_man_in_the_middle_without_connections_is_inconclusive(run: Run) -> None:
    done = run("def test_it(mitm):\n    with pytest.raises(OSError):\n        raise OSError\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*InconclusiveError: rogue-ca-in-store: the client never conn*"])


def test_the_environment_points_clients_to_the_lab_until_the_test_ends(run: Run) -> None:
    done = run(
        """
def test_it(mitm, certpin_environment):
    variables = certpin_environment(mitm)
    assert os.environ["SSL_CERT_FILE"] == str(mitm.ca) == variables["SSL_CERT_FILE"]
    assert os.environ["HTTPS_PROXY"] == mitm.proxy
    with pytest.raises(ssl.SSLError):
        pinned(mitm)

def test_after():
    assert "CERTPIN_LAB_CASE" not in os.environ
"""
    )
    done.assert_outcomes(passed=2)


def test_a_marker_configures_the_lab(run: Run) -> None:
    done = run(
        """
@pytest.mark.certpin(style="ca", host="api.shop.example")
class TestMarked:
    def test_class(self, certpin_lab):
        assert (certpin_lab.style, certpin_lab.host) == ("ca", "api.shop.example")

    @pytest.mark.certpin(style="none")
    def test_both(self, certpin_lab):
        assert (certpin_lab.style, certpin_lab.host) == ("none", "api.shop.example")

def test_plain(certpin_lab):
    assert (certpin_lab.style, certpin_lab.host) == ("leaf", "api.bank.example")
"""
    )
    done.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ('certpin(cases=["nonsense"])', "*no case 'nonsense'*"),
        ('certpin(style="root")', "*no style 'root': one of none, leaf, ca*"),
        ('certpin(protocol="SMTP")', f"*no protocol 'SMTP': one of {', '.join(LAB_PROTOCOLS)}*"),
        ('certpin(nonsense="1")', "*takes no more*"),
    ],
)
def test_an_invalid_marker_is_reported(run: Run, marker: str, says: str) -> None:
    done = run(f"@pytest.mark.{marker}\ndef test_it(attack):\n    attack(pinned)\n")
    assert done.ret != pytest.ExitCode.OK
    (done.stderr if done.ret == pytest.ExitCode.USAGE_ERROR else done.stdout).fnmatch_lines([says])


@pytest.mark.parametrize("fixture", ["attack", "mitm", "certpin_lab"])
def test_an_invalid_protocol_in_the_ini_file_is_reported(
    run: Run, pytester: pytest.Pytester, fixture: str
) -> None:
    pytester.makeini("[pytest]\ncertpin_protocol = wss\ncertpin_cases = untrusted-ca")
    done = run(f"def test_it({fixture}):\n    pass\n")
    said = f"*no protocol 'wss': one of {', '.join(LAB_PROTOCOLS)}*"
    done.stdout.fnmatch_lines([said])


def test_a_projects_fixture_of_the_same_name_is_used(run: Run) -> None:
    done = run(
        """
@pytest.fixture
def attack():
    return "mine"

def test_fixture(attack):
    assert attack == "mine"

@pytest.mark.parametrize("mitm", [1, 2])
def test_parameter(mitm):
    assert mitm in {1, 2}
"""
    )
    done.assert_outcomes(passed=3)


@pytest.mark.slow
def test_the_plugin_works_with_xdist_and_a_control_per_worker(
    run_apart: Run, pytester: pytest.Pytester
) -> None:
    done = run_apart(
        """
def noted(target):
    with open(os.environ["NOTES"] + os.environ["PYTEST_XDIST_WORKER"], "a") as notes:
        print(target.case, file=notes)
    return pinned(target)

os.environ["NOTES"] = os.path.join(os.path.dirname(__file__), "notes-")

@pytest.mark.certpin(cases=["untrusted-ca", "rogue-ca-in-store", "expired", "rot-backup-live",
    "same-ca-new-key", "self-signed", "pinned-leaf-appended", "leaf-as-ca"])
def test_it(attack):
    attack(noted)
""",
        *("-n", "2", "-v"),
    )
    done.assert_outcomes(passed=8)
    notes = [path.read_text().split() for path in sorted(pytester.path.glob("notes-gw*"))]
    assert len(notes) == 2
    for cases in notes:
        assert cases[0] == cases[-1] == "control-good"
    assert sum(len([each for each in cases if each != "control-good"]) for cases in notes) == 8


def test_the_test_names_are_deterministic(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(attack):\n    attack(print)\n")
    lists = [pytester.runpytest_inprocess("--collect-only", "-q").outlines for _ in range(2)]
    names = [[line for line in lines if "::" in line] for lines in lists]
    assert names[0] == names[1]
    assert json.dumps(names[0][1]).endswith('test_it[untrusted-ca]"')


APP = """
import ssl
import urllib.request

from certpin import PinnedSSLContext, PinSet

MyError = OSError


def fetch(url, proxy, ca, pins):
    context = PinnedSSLContext(PinSet.load(pins))
    context.load_verify_locations(ca)
    https = urllib.request.HTTPSHandler(context=context)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": proxy}), https)
    return opener.open(url, timeout=10).read()


def fetch_pinned_on_an_authority(target):
    return fetch(target.url, target.proxy, target.ca, target.pins)
"""


def test_the_tests_of_the_guide_pass_with_a_pinned_client(pytester: pytest.Pytester) -> None:
    """Each Python block of docs/guides/pytest.md is a test file that passes.

    The test adds the pins of the lab to the client of each block.
    """
    pytester.makeini("[pytest]\ncertpin_cases = untrusted-ca rogue-ca-in-store")
    pytester.makepyfile(myapp=APP)
    texts = [each.text for each in blocks("guides/pytest.md") if each.language == "python"]
    for number, text in enumerate(texts):
        with_pins = re.sub(r"ca=(\w+)\.ca", r"ca=\1.ca, pins=\1.pins", text)
        pytester.makepyfile(**{f"test_{number}": f"from myapp import *\n{with_pins}"})
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=5)


@pytest.fixture
def chains(pytester: pytest.Pytester) -> None:
    """Write a user's own case file, cases.toml, with one good and one untrusted chain.

    The file and its certificates are in the folder of the tests.
    """
    bad = GOOD | {"name": '"untrusted"', "anchors": '"other.pem"', "expect": '"refuse"'}
    write_files(pytester.path)
    (pytester.path / "other.pem").write_bytes(OTHER_ROOT.pem)
    (pytester.path / "cases.toml").write_text(toml(GOOD, bad), encoding="utf-8")


_GUIDE = [block.text for block in blocks("guides/own-chains.md") if block.language == "python"][1]


@pytest.mark.usefixtures("chains")
def test_a_case_file_replaces_the_cases_of_the_lab(run: Run) -> None:
    done = run(f"fetch = unpinned\n{_GUIDE}", "-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(
        ["*test_my_chains?mine? PASSED*", "*test_my_chains?untrusted? PASSED*"]
    )


@pytest.mark.usefixtures("chains")
def test_a_wrong_verdict_on_an_own_chain_fails(run: Run) -> None:
    careless = """
def careless(target):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return ask(target, context)

@pytest.mark.certpin(style="none", case_file="cases.toml", cases=["untrusted"])
def test_it(attack):
    attack(careless)
"""
    done = run(careless)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*WrongVerdictError: untrusted: your own chain: *"])


@pytest.mark.usefixtures("chains")
def test_a_wrong_case_file_is_a_usage_error_with_its_line(
    run: Run, run_apart: Run, pytester: pytest.Pytester
) -> None:
    named = '@pytest.mark.certpin(case_file="cases.toml", cases=["expired"])'
    test = "\ndef test_it(attack):\n    attack(unpinned)\n"
    done = run(named + test)
    done.stdout.fnmatch_lines(["*no case 'expired': see *cases.toml*"])
    (pytester.path / "cases.toml").write_text(toml(GOOD | {"host": "3"}), encoding="utf-8")
    done = run_apart(named + test)  # a pytest reads a case file once
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*cases.toml:4: case?0?.host: *"])
