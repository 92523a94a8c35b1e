"""``certpin scan``: reads lists of hosts, prints a record for each, and survives interruption."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from certpin.cli.reply import SCHEMA
from certpin.cli.scan import host_list
from certpin.lab import LabServer
from certpin.probe.scan import ScanLimits, scan
from tests._peak import CERTPIN
from tests.cli import _documented
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Done, Run, invoke, program
from tests.probe.scan import _servers
from tests.probe.scan._servers import Server
from tests.servers._run import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity
    from tests.servers.nginx import Nginx

_DEADLINE = 20.0
_POLL = 0.01


@pytest.fixture
def connect_args(identity: Identity, ca: Path) -> Iterator[tuple[str, ...]]:
    """Yield the options with which certpin connects every host to one local server."""
    with Server(_servers.tls(identity)) as server:
        yield ("--connect", f"127.0.0.1:{server.port}", "--ca-file", str(ca))


@pytest.fixture
def listed(run: Run, tmp_path: Path) -> Path:
    """Return the path of the file in which a test writes its list of hosts."""
    return tmp_path / "hosts"


def records(text: str) -> list[dict[str, Any]]:
    """Return the JSON records in the output of ``certpin scan``, which must be as documented."""
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        assert (record["schema"], record["command"]) == (SCHEMA, "scan")
        _documented.check("scanned host", record)
    return found


def hosts_of(text: str) -> list[str]:
    return [record["host"] for record in records(text)]


def names(count: int) -> list[str]:
    return [f"{number}.shops.example" for number in range(count)]


def scan_list(listed: Path, text: str, *options: str) -> Done:
    listed.write_text(text, encoding="utf-8")
    return invoke("scan", listed, *options)


def test_each_host_of_a_list_becomes_a_record(listed: Path, connect_args: tuple[str, ...]) -> None:
    done = scan_list(listed, "\n".join(names(30)), *connect_args)
    assert (done.code, done.err) == (0, "")
    found = records(done.out)
    assert sorted(record["host"] for record in found) == sorted(names(30))
    assert all(record["chain_verified"] and record["name_matches"] for record in found)


def test_a_chain_that_does_not_verify_is_recorded(
    listed: Path, identity: Identity, connect_args: tuple[str, ...]
) -> None:
    done = scan_list(listed, HOST, *connect_args[:2])
    (found,) = records(done.out)
    assert done.code == 0
    assert found["chain_verified"] is False
    assert found["served"][0] == str(identity.pin)


def test_every_spelling_of_a_host_is_read(listed: Path, connect_args: tuple[str, ...]) -> None:
    text = (
        "# a list\r\n\r\n  API.Bank.Example.  \r\napi.bank.example:8443\n"
        "[::1]:8443\n::1\n127.0.0.1\nhttps://bücher.example/path\n\n#end.example\nlast.example"
    )
    done = scan_list(listed, text, *connect_args)
    assert {(record["host"], record["port"]) for record in records(done.out)} == {
        ("api.bank.example", 443),
        ("api.bank.example", 8443),
        ("::1", 8443),
        ("::1", 443),
        ("127.0.0.1", 443),
        ("xn--bcher-kva.example", 443),
        ("last.example", 443),
    }


def test_an_invalid_line_becomes_a_record_and_the_scan_continues(
    listed: Path, connect_args: tuple[str, ...]
) -> None:
    listed.write_bytes(
        b"a..b\nhttp://plain.example\n\x1b[2Jx\n\xff\xfe\nhost:99999\nuser@a.example\n"
        b"is a.example\n" + b"x" * 300_000 + b"\napi.bank.example\n" + b"y" * 100_000
    )
    done = invoke("scan", listed, *connect_args)
    assert done.code == 3
    found = {record["host"]: record for record in records(done.out)}
    assert found.pop("api.bank.example")["chain_verified"] is True
    assert [len(host) for host in found if host[0] in "xy"] == [4096] * 2
    assert "\\x1b[2Jx" in found
    assert len(found) == 9
    assert {record["error"]["kind"] for record in found.values()} == {"HostError"}
    assert {record["port"] for record in found.values()} == {0}


def test_a_host_that_does_not_answer_is_inconclusive_and_has_a_record(
    listed: Path, connect_args: tuple[str, ...]
) -> None:
    refused = f"127.0.0.1:{free_port()}"
    done = scan_list(listed, HOST, "--connect", refused, "--retries", "0")
    (found,) = records(done.out)
    assert done.code == 3
    assert found["attempts"] == 1
    assert found["error"] == {"kind": "DialError", "problem": "Connection refused"}


def test_without_connect_each_host_is_contacted(listed: Path, identity: Identity, ca: Path) -> None:
    with LabServer(identity) as server:
        text = f"127.0.0.1:{server.port}\nnobody.invalid\n"
        done = scan_list(listed, text, "--ca-file", str(ca))
    found = {record["host"]: record for record in records(done.out)}
    assert found["127.0.0.1"]["name_matches"] is True
    assert found["nobody.invalid"]["address"] is None
    assert done.code == 3


@pytest.mark.slow
def test_the_time_limit_and_the_retries_are_those_of_the_options(listed: Path) -> None:
    with Server(_servers.say_nothing) as server:
        here = ("--connect", f"127.0.0.1:{server.port}")
        done = scan_list(listed, HOST, *here, "--timeout", "0.2", "--retries", "1")
    (found,) = records(done.out)
    assert found["error"]["problem"] == "no answer within 0.2 s"
    assert found["attempts"] == 2


def test_the_window_is_that_of_the_option(
    listed: Path, connect_args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ScanLimits] = []

    def watched(*words: Any, limits: ScanLimits, **more: Any) -> Any:
        seen.append(limits)
        return scan(*words, limits=limits, **more)

    monkeypatch.setattr("certpin.probe.scan.scan", watched)
    scan_list(listed, HOST, *connect_args, "--at-once", "3", "--timeout", "9", "--retries", "4")
    scan_list(listed, HOST, *connect_args)
    assert seen == [
        ScanLimits(window=3, timeout=9.0, retries=4),
        ScanLimits(window=256, timeout=5.0, retries=1),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resume"], "--resume needs --output"),
        (["--connect", "localhost:443"], "needs an IP address and a port"),
        (["--connect", "127.0.0.1"], "needs an IP address and a port"),
        (["--timeout", "nan"], "not a number of seconds"),
        (["--timeout", "0"], "0.0 is not in the range"),
        (["--at-once", "0"], "0 is not in the range"),
        (["--retries", "11"], "11 is not in the range"),
        (["--output", "no/such/folder"], "no/such/folder cannot be written: No such file"),
    ],
)
def test_an_invalid_scan_option_is_a_usage_error(listed: Path, words: list[str], said: str) -> None:
    done = scan_list(listed, HOST, *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.medium
def test_a_missing_list_is_a_usage_error_and_makes_no_output(listed: Path) -> None:
    done = invoke("scan", listed, "--output", "out.jsonl")
    assert done.code == 2
    assert "cannot be read: No such file or directory" in done.err
    assert "fix:" not in done.err
    assert not (listed.parent / "work" / "out.jsonl").exists()


@pytest.mark.medium
@pytest.mark.parametrize("host", ["localhost:8443", "api.bank.example", "[::1]:443"])
def test_a_host_instead_of_a_list_is_refused_with_the_command_for_it(host: str) -> None:
    done = invoke("scan", host)
    assert (done.code, done.out) == (2, "")
    assert f"{host} cannot be read: No such file or directory" in done.err
    assert f"fix: echo {shlex.quote(host)} | certpin scan -" in done.err


@pytest.mark.medium
def test_a_closed_standard_input_is_a_usage_error(listed: Path) -> None:
    argv = [sys.executable, "-m", "certpin.cli.main", "scan", "-"]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *argv], capture_output=True, text=True, check=False
    )
    assert closed.returncode == 2
    assert "- cannot be read: Bad file descriptor" in closed.stderr


@pytest.mark.medium
def test_more_connections_than_this_system_allows_are_a_usage_error(
    listed: Path, connect_args: tuple[str, ...]
) -> None:
    """Otherwise hosts would seem not to answer. Only the soft limit of open files is raised."""
    listed.write_text("\n".join(names(60)))

    def limited(hard: int) -> tuple[int, str]:
        with program(
            "scan",
            listed,
            *connect_args,
            "--at-once=120",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard)),
        ) as process:
            out, err = process.communicate()
        return process.returncode, err or str(len(records(out)))

    code, said = limited(180)
    assert code == 2
    assert "--at-once 120 needs 184 open files, and this system allows 180" in said
    assert limited(184) == (0, "60")


def test_the_output_goes_to_a_file(
    listed: Path, connect_args: tuple[str, ...], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    done = scan_list(listed, "\n".join(names(5)), *connect_args, "--output", str(output))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert sorted(hosts_of(output.read_text())) == names(5)


def test_an_output_with_content_is_not_overwritten(
    listed: Path, connect_args: tuple[str, ...], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    for path in (output, listed):
        done = scan_list(listed, HOST, *connect_args, "--output", str(path))
        assert done.code == 2
        assert "is not empty: continue it with --resume, or name a new file" in done.err
    assert (output.read_text(), listed.read_text()) == ("mine", HOST)


@pytest.mark.parametrize("content", ["mine", "mine\n", '{"name":"bank"}', '{"host":"a"}\n'])
def test_resume_refuses_a_file_of_another_kind(
    listed: Path, connect_args: tuple[str, ...], tmp_path: Path, content: str
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text(content)
    done = scan_list(listed, HOST, *connect_args, "--output", str(output), "--resume")
    assert done.code == 2
    assert "line 1 is not a record of a scan" in done.err
    assert output.read_text() == content


def test_resume_skips_every_host_with_a_record(
    listed: Path, connect_args: tuple[str, ...], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    options = (*connect_args, "--output", str(output), "--resume")
    assert scan_list(listed, "a.example\n???\n", *options).code == 3
    first = output.read_text()
    done = scan_list(listed, "A.example.\n???\nb.example\na.example:8443\n", *options)
    assert done.code == 3  # the line of "???" has an error
    assert output.read_text().startswith(first)
    found = records(output.read_text()[len(first) :])
    assert {(record["host"], record["port"]) for record in found} == {
        ("b.example", 443),
        ("a.example", 8443),
    }


def test_a_resumed_scan_does_not_succeed_if_earlier_hosts_did_not_answer(
    listed: Path, connect_args: tuple[str, ...], tmp_path: Path
) -> None:
    options = (*connect_args, "--output", str(tmp_path / "out.jsonl"), "--resume", "--json")
    codes, last = [], {}
    for text in ("a.example\n???\n", "a.example\n???\n"):
        done = scan_list(listed, text, *options)
        codes.append(done.code)
        last = json.loads(done.out.splitlines()[-1])
        _documented.check("scan", _documented.data_of(last))
    assert codes == [3, 3]
    assert (last["hosts"], last["silent"], last["silent_before"]) == (0, 0, 1)


def test_a_byte_order_mark_does_not_belong_to_the_first_host(
    listed: Path, connect_args: tuple[str, ...]
) -> None:
    done = scan_list(listed, "\ufeffa.example\r\nb.example\r\n", *connect_args)
    assert done.code == 0
    assert sorted(hosts_of(done.out)) == ["a.example", "b.example"]


class Piped:
    """A process of ``certpin scan -`` with an open pipe as standard input, as a context manager."""

    def __init__(self, *words: str | Path) -> None:
        self.process = program("scan", "-", *words, stdin=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Wait for the next printed record, and return it."""
        assert self.process.stdout is not None
        (found,) = records(self.process.stdout.readline())
        return found

    def end(self) -> tuple[int, str, str]:
        """Close the input and wait until the process ends.

        Returns:
            The exit code, standard output, and standard error.
        """
        out, err = self.process.communicate(timeout=_DEADLINE)
        return self.process.returncode, out, err


@pytest.mark.medium
def test_records_are_written_before_the_input_ends(connect_args: tuple[str, ...]) -> None:
    with Piped(*connect_args) as piped:
        for name in names(3):
            piped.write(f"{name}\n")
            assert piped.read()["host"] == name
        piped.write("???\n")
        assert piped.read()["error"]["kind"] == "HostError"
        piped.write("last.exam")  # an incomplete line is not a host yet
        piped.write("ple")
        code, out, err = piped.end()
    assert (code, hosts_of(out), err) == (3, ["last.example"], "")


@pytest.mark.slow
def test_a_silent_input_does_not_delay_a_timeout() -> None:
    with Server(_servers.say_nothing) as server:
        here = ("--connect", f"127.0.0.1:{server.port}", "--timeout", "0.2")
        with Piped(*here) as piped:
            piped.write("a.example\n")
            assert piped.read()["attempts"] == 2


@pytest.mark.medium
def test_ctrl_c_ends_a_scan_cleanly(connect_args: tuple[str, ...]) -> None:
    with Piped(*connect_args) as piped:
        piped.write(f"{HOST}\n")
        piped.read()
        piped.process.send_signal(signal.SIGINT)
        code, out, err = piped.end()
    assert (code, out, err) == (130, "", "certpin: stopped\n")


@pytest.mark.medium
def test_a_closed_pipe_ends_a_scan_cleanly(connect_args: tuple[str, ...]) -> None:
    with Piped(*connect_args) as piped:
        piped.write(f"{HOST}\n")
        piped.read()
        assert piped.process.stdout is not None
        piped.process.stdout.close()
        piped.write("\n".join(names(50)) + "\n")
        assert piped.process.wait(_DEADLINE) == 141
        assert piped.process.stderr is not None
        assert piped.process.stderr.read() == ""


def test_a_full_disk_during_a_scan_is_reported(listed: Path, connect_args: tuple[str, ...]) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("left out: this system has no /dev/full")
    done = scan_list(listed, HOST, *connect_args, "--output", "/dev/full")
    assert done.code == 2
    assert "/dev/full cannot be written: No space left on device" in done.err
    assert "continue the scan with --resume" in done.err


@pytest.mark.medium
@pytest.mark.parametrize("cut", [0, 1, 12, 100])
def test_a_killed_scan_resumes_and_has_each_host_once(
    connect_args: tuple[str, ...], listed: Path, tmp_path: Path, cut: int
) -> None:
    """After ``kill -9``, the file's last line is also cut off, as by a crash of the machine."""
    output = tmp_path / "out.jsonl"
    with Piped(*connect_args, "--output", output, "--at-once", "4") as piped:
        piped.write("\n".join(names(40)) + "\n")
        _wait_for_lines(output, 20)
        piped.process.send_signal(signal.SIGKILL)
        assert piped.end()[0] == -signal.SIGKILL
    output.write_bytes(output.read_bytes()[: -cut or None])
    listed.write_text("\n".join(names(60)))
    done = invoke("scan", listed, *connect_args, "--output", output, "--resume")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert sorted(hosts_of(output.read_text())) == sorted(names(60))


def _wait_for_lines(path: Path, count: int) -> None:
    until = time.monotonic() + _DEADLINE
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < until, "the scan writes nothing"
        time.sleep(_POLL)


def test_many_finished_hosts_do_not_delay_open_connections(listed: Path) -> None:
    """The scan serves its connections even while the list has no new host for a long time."""
    listed.write_text("first.example\n" + "#\n" * 50_000)
    with listed.open("rb") as source:
        found = list(host_list(source, (), lambda *_: None))
    assert [endpoint.host for endpoint in found if endpoint] == ["first.example"]
    assert found.count(None) == 2


@pytest.mark.medium
def test_hosts_are_counted_on_a_terminal(listed: Path, connect_args: tuple[str, ...]) -> None:
    listed.write_text("\n".join(names(3)))
    code, text = on_terminal("scan", str(listed), *connect_args, "--output", "out.jsonl")
    assert code == 0
    assert "3/?" in text


@pytest.mark.slow
@pytest.mark.timeout(600)  # nine thousand handshakes
@pytest.mark.peer("nginx")
def test_memory_does_not_grow_with_the_number_of_hosts(
    bank: Nginx, ca: Path, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("left out: only Linux reports the peak memory of a process")

    def peak(count: int) -> int:
        hosts, output = tmp_path / f"hosts-{count}", tmp_path / f"out-{count}"
        hosts.write_text("\n".join(names(count)))
        here = f"127.0.0.1:{bank.port}"
        # With more at once, the busier the server is, the more connections are open.
        words = ["scan", hosts, "--at-once", "32", "--connect", here, "--ca-file", ca]
        words += ["--output", output]
        done = subprocess.run(
            [*CERTPIN, *map(str, words)],
            stderr=subprocess.PIPE,
            check=True,
        )
        assert output.read_text().count('"chain_verified":true') == count
        return int(done.stderr)

    assert peak(8_000) <= 1.1 * peak(1_000)
