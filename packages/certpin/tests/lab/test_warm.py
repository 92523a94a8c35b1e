"""Client programs that are forked from one warm Python process behave like separate programs."""

from __future__ import annotations

import ast
import os
import signal
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.case import LabError
from certpin.lab.client import Command, environment, wait_for
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.warm import WarmCommand, split_command
from tests.lab._clients import ends
from tests.lab.gallery._gallery import BROKEN, CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab.target import Target


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Lab() as lab:
        case_server = lab.case_server(CONTROL)
        yield case_server.open()
        case_server.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "client.py"


def warm(*words: object, **fields: Any) -> closing[WarmCommand]:
    return closing(WarmCommand((sys.executable, *map(str, words)), **fields))


# Programs by the way in which they end. Each is also started as usual, to compare the two.
ENDINGS = {
    "it prints": "print('fine')",
    "no last line end": "import sys; sys.stderr.write('one'); print('two', end='')",
    "exit": "import sys; sys.exit(3)",
    "exit with a text": "import sys; sys.exit('no')",
    "at once": "import os; print('lost', flush=True); os._exit(4)",
    "exception": "def call():\n    raise ValueError('not pinned')\ncall()",
    "syntax": "print('unreachable'\n",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os; os.abort()",
    "at exit": "import atexit; atexit.register(print, 'the end'); print('begun')",
    "a thread": "import threading as t\nt.Thread(target=lambda: print(SOME)).start()\nSOME = 1",
    "the main module": "import __main__; print(__name__, __package__, __main__.__file__, __file__)",
    "arguments": "import sys; print(sys.argv[1:], sys.argv[0] == __file__)",
    "pickled": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)",
    "input": "import sys; print(repr(sys.stdin.read()))",
    "folder": "import os, sys; print(os.getcwd(), sys.path[0])",
    "session": "import os; print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())",
    "descriptors": "import os; print(len(os.listdir('/proc/self/fd')))",
    "case": "import os; print(os.environ['CERTPIN_LAB_CASE'], os.environ['SSL_CERT_FILE'])",
}


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS)
def test_a_client_ends_as_if_it_was_started(program: str, script: Path, target: Target) -> None:
    script.write_text(program)
    cold = Command((sys.executable, str(script), "one", "{host}")).run(target)
    with warm(script, "one", "{host}") as client:
        assert client.run(target) == cold
        assert client.run(target) == cold


@pytest.mark.medium
def test_a_module_and_a_code_run_as_main(target: Target, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(
        "import sys\nfrom . import other\nprint(__name__, sys.argv, other.NAME)\n"
    )
    (tmp_path / "package" / "other.py").write_text("NAME = __name__\n")
    code = "import sys; print(__name__, sys.argv, '{host}')"
    for words in (("-m", "package", "x"), ("-c", code, "x"), ("-X", "dev", "-c", code)):
        cold = Command((sys.executable, *words)).run(target)
        assert cold.content
        with warm(*words) as client:
            assert client.run(target) == cold


def test_installed_modules_are_imported_once_and_own_ones_for_each_run(
    target: Target, script: Path
) -> None:
    own = script.with_name("own.py")
    script.write_text("import os, own\nimport json\nprint(own.CASE, own.LOADED, os.getpid())")
    own.write_text(
        "import os, sys\nLOADED = 'certpin.pins' in sys.modules, 'own' in sys.modules\n"
        "import certpin.pins\nCASE = os.environ['CERTPIN_LAB_CASE']\n"
    )
    with warm(script) as client:
        first, second = client.run(target).output.split(), client.run(target).output.split()
    assert first[:3] == [CONTROL.name, "(True,", "True)"]
    assert first[3] != second[3]


# Prints the environment of the client, and that of the process from which it is forked.
_SHOW = "import os; print(dict(os.environ), open('/proc/self/environ').read())"


def test_the_secrets_of_certpin_are_not_in_the_environment(
    target: Target, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTPIN_PASSPHRASE", "hunter2")
    monkeypatch.setenv("API_TOKEN", "of the client")
    script.write_text(_SHOW)
    with warm(script) as client:
        shown = client.run(target).output
    assert shown.count("of the client") == 2
    assert "hunter2" not in shown


# Imports `wave` of the standard library, and the module `own` of the client, after it has printed.
_LATE = """
import sys
print("wave" in sys.modules, "own" in sys.modules)
import importlib
importlib.import_module("wave"), importlib.import_module("own")
"""
_WITH_A_THREAD = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=[9], daemon=True).start()"
)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        pytest.param("", "True", id="late"),
        pytest.param(_WITH_A_THREAD, "False", id="with a thread"),
    ],
)
def test_modules_that_a_client_imports_late_are_imported_before_the_next_one(
    target: Target, script: Path, more: str, kept: str
) -> None:
    script.with_name("own.py").write_text("")
    script.write_text(f"{_LATE}\n{more}\n")
    with warm(script) as client:
        found = [client.run(target).output.split() for _ in range(3)]
    assert found == [["False", "False"], [kept, "False"], [kept, "False"]]


@pytest.mark.medium
def test_a_client_that_does_not_end_is_killed_with_its_children(
    target: Target, script: Path, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    script.write_text(
        "import pathlib, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(p.pid))\n"
        "print('waiting', flush=True)\n"
        "time.sleep(600)\n"
    )
    with warm(script, patience=3.0) as client:
        ending = client.run(target)
        assert (ending.status, ending.output) == (None, "waiting\n")
        assert ending.problem == "the client did not end within 3 s"
        assert ends(int(child.read_text()))
        script.write_text("import os; print(os.getpid())")
        assert client.run(target).content  # the process that forks is unharmed


def test_children_of_a_client_that_ended_are_killed(target: Target, script: Path) -> None:
    script.write_text(
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid)\n"
    )
    with warm(script) as client:
        ending = client.run(target)
    assert ending.content
    assert ends(int(ending.output))


def test_a_run_can_be_stopped_from_another_thread(
    target: Target, script: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    script.write_text(
        f"import os, time\nwith open({str(begun)!r}, 'w') as f: f.write(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    endings = []
    with warm(script) as client:
        thread = threading.Thread(target=lambda: endings.append(client.run(target)))
        thread.start()
        pid = int(begun.read_text(encoding="ascii"))
        client.stop()
        thread.join()
        assert [ending.problem for ending in endings] == ["the run was interrupted"]
        assert ends(pid)
        assert client.run(target).problem == "the run was interrupted"


def test_a_run_that_waited_while_the_client_was_stopped_starts_no_process(
    target: Target, script: Path
) -> None:
    script.write_text("print('it ran')")
    with warm(script) as client, tempfile.TemporaryFile() as output:
        client.stop()
        ending = client.start([sys.executable, str(script)], target, output, wait_for)
    assert (ending.problem, ending.output) == ("the run was interrupted", "")


def test_a_client_that_is_stopped_before_its_fork_is_interrupted(
    target: Target, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.write_text("print('it ran')")
    with warm(script) as client:
        assert client.run(target).content

        def stop_first(target: Target, via: str) -> dict[str, str]:
            client.stop()
            return environment(target, via)

        monkeypatch.setattr("certpin.lab.warm.environment", stop_first)
        assert client.run(target).problem == "the run was interrupted"


def test_a_process_that_forks_the_client_and_ends_is_no_time_limit(
    target: Target, script: Path
) -> None:
    script.write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    with warm(script) as client:
        assert client.run(target).problem == "the process that forks the client ended"
        script.write_text(
            "import os, pathlib\n"
            "stat = pathlib.Path(f'/proc/{os.getppid()}/stat').read_text()\n"
            "print(stat.rpartition(')')[2].split()[1])\n"
        )
        os.kill(int(client.run(target).output), signal.SIGKILL)  # the parent of all supervisors
        assert client.run(target).problem == "the process that forks the client ended"


@pytest.mark.parametrize(
    "field",
    [
        *(pytest.param(name, marks=pytest.mark.peer("faketime")) for name in ("clock", "time")),
        "folder",
    ],
)
def test_a_case_with_another_clock_or_other_roots_starts_the_program(
    target: Target, script: Path, field: str, tmp_path: Path
) -> None:
    script.write_text("import os; print(os.getppid() == int(os.environ['LAB']))")
    clock: dict[str, Any] = {"clock": timedelta(days=1), "time": datetime(2026, 1, 1, tzinfo=UTC)}
    other = replace(target, **{field: (clock | {"folder": tmp_path})[field]})
    with pytest.MonkeyPatch.context() as patch, warm(script) as client:
        patch.setenv("LAB", str(os.getpid()))
        assert [client.run(each).output for each in (target, other)] == ["False\n", "True\n"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("curl", "{url}"), "a command that begins with python"),
        (("python",), "needs a script"),
        (("python3.13", "-X", "dev", "-m"), "needs a script"),
    ],
)
def test_a_command_that_cannot_be_warm_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(LabError, match=problem) as caught:
        WarmCommand(words)
    assert caught.value.fix == "leave out --warm"


def test_options_of_python_are_split_from_the_client() -> None:
    words = ("/usr/bin/python3", "-W", "error", "-I", "client.py", "-c", "x")
    assert split_command(words) == (
        ["/usr/bin/python3", "-W", "error", "-I"],
        ["client.py", "-c", "x"],
    )


def test_a_python_that_does_not_start_is_an_error(target: Target, script: Path) -> None:
    script.write_text("import certpin")
    client = WarmCommand(("/no/such/python3", str(script)))
    with closing(client), pytest.raises(LabError, match="did not start"):
        client.run(target)
    with warm("--unknown-option", script) as other, pytest.raises(LabError, match="kept warm"):
        other.run(target)


def test_an_import_that_starts_a_thread_is_an_error(target: Target, script: Path) -> None:
    folder = script.parent / "site-packages"
    folder.mkdir()
    (folder / "busy.py").write_text(
        "import threading as t, time\n"
        "t.Thread(target=time.sleep, args=[600], daemon=True).start()\n"
    )
    script.write_text("import busy")
    with pytest.MonkeyPatch.context() as patch, warm(script) as client:
        patch.setenv("PYTHONPATH", str(folder))
        with pytest.raises(LabError, match="starts threads"):
            client.run(target)


def _imported(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return frozenset(name.partition(".")[0] for name in found - {"__future__", "typing"})


# In a fork, modules are already imported. So: one broken client for each set of imported modules.
DIFFERENT = {_imported(path): path.name for path in sorted(BROKEN.glob("[a-z]*.py"))}
COMPARED = ("rogue-ca-in-store", "same-ca-new-key", "expired", "wrong-host-sibling", "cn-only")
PROGRAMS = [
    *((f"broken/{name}", "port") for name in sorted(DIFFERENT.values())),
    *(
        (f"{path.name} {mode} {{url}}", "connect")
        for path in sorted(CLIENTS.glob("python_*.py"))
        for mode in ("pinned", "unpinned")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "via"), PROGRAMS)
def test_the_verdicts_equal_those_of_programs_that_are_started(program: str, via: str) -> None:
    name, *arguments = program.split()
    words = (sys.executable, str(CLIENTS / name), *arguments)
    cases = [case for case in CASES if case.name in COMPARED]
    assert len(cases) == len(COMPARED)
    style = Style.CA if "--style ca" in (CLIENTS / name).read_text("utf-8") else Style.LEAF
    with Lab(style=style) as lab, closing(WarmCommand(words, via)) as client:
        kept, started = (prove(lab, each, cases, jobs=2) for each in (client, Command(words, via)))
    assert [(each.case.name, each.verdict) for each in kept.results] == [
        (each.case.name, each.verdict) for each in started.results
    ]
    assert kept.controlled
