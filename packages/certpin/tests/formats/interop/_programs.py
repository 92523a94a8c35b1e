"""The real clients that use exported files, as clients under test of the lab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.client import Command, ended, environment
from certpin.lab.pki import UNPINNED
from certpin.lab.verdict import Ending
from tests.formats.flutter import _vm
from tests.servers._run import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from certpin.lab.client import ClientUnderTest, Wait
    from certpin.lab.target import Target
    from scripts.dart import DartVM

PROGRAMS = Path(__file__).parent / "programs"
_JARS = ("okhttp.jar", "okio.jar", "kotlin-stdlib.jar")
_CLASSPATH = os.pathsep.join(f"/usr/share/java/{jar}" for jar in _JARS)  # of OkHttp


@dataclass
class Built:
    """A client under test with a program that must be compiled with the exported file.

    It is compiled once for each exported file.
    """

    name: str
    build: Callable[[Path, Path], None]  # from the export, into a folder
    use: Callable[[Path], ClientUnderTest]  # the client in that folder
    _clients: dict[Path, ClientUnderTest] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, target: Target) -> Ending:
        """Compile the program if the exported file is new, and run it. Return how it ended."""
        export = target.export(self.name)
        with self._lock:
            if export not in self._clients:
                folder = export.parent / "built"
                folder.mkdir()
                self.build(export, folder)
                self._clients[export] = self.use(folder)
        return self._clients[export].run(target)

    def stop(self) -> None:
        """Stop the running programs."""
        for client in tuple(self._clients.values()):
            client.stop()


def go() -> ClientUnderTest:
    """Return a Go client that uses only the exported package and the standard library."""
    return Built("go", _build_go, lambda folder: Command((str(folder / "proof"), "{url}")))


def _build_go(export: Path, folder: Path) -> None:
    (folder / "pins").mkdir()
    shutil.copy(export, folder / "pins" / "pins.go")
    shutil.copy(PROGRAMS / "main.go", folder)
    (folder / "go.mod").write_text("module proof\n\ngo 1.21\n", encoding="utf-8")
    # Nothing is downloaded; the user's cache makes later builds fast.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    # Without symbols and debugging information, it is linked in half the time.
    words = ["go", "build", "-ldflags=-s -w", "-o", "proof", "."]
    subprocess.run(words, cwd=folder, env=environment, check=True, timeout=110)


def dart() -> ClientUnderTest:
    """Return a Dart client that uses the exported library with its pins, and dart:io."""
    return Built("flutter", _build_dart, _use_dart)


def _build_dart(export: Path, folder: Path) -> None:
    compile_isolates(PROGRAMS / "client.dart", folder, packages={"pinning": export.parent})


def _use_dart(folder: Path) -> ClientUnderTest:
    program = compile_isolates(PROGRAMS / "client.dart", folder)
    words = (program, "{host}", "{port}", "/{canary}")
    return Isolates(dart_words(_vm.NEWEST, *words), via="port", program=program)


# Runs a command that resolves the lab's names to the lab's address. Use it with a host under
# ``LOCAL``: the cases that request an address then use one of this machine.
NAMED = (str(PROGRAMS / "named.sh"), "{address}", f"{{host}} {{host2}} {' '.join(UNPINNED)}")
LOCAL = "api.bank.localhost"


def dart_words(vm: DartVM, *words: str) -> tuple[str, ...]:
    """Return the command of a Dart program that trusts the lab's roots and resolves its names."""
    return ("sh", *NAMED, str(vm.program), _vm.BRIEF, "--root-certs-file={ca}", *words)


def may_resolve() -> bool:
    """Return whether a test may give a program its own /etc/hosts."""
    words = ["sh", NAMED[0], "127.0.0.1", LOCAL, "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def compiled(
    source: Path, folder: Path, vm: DartVM, packages: Mapping[str, Path] | None = None
) -> str:
    """Compile a Dart program into a folder, unless that is done. Return the path of the result.

    Args:
        source: the program.
        folder: a folder for the result, in which the next call finds it.
        vm: the Dart VM that will run it.
        packages: the packages of the program besides certpin, each with its folder.
    """
    target = folder / f"{source.stem}-{vm.version}.dill"
    if not target.exists():
        config = _vm.package_config(folder, packages or {})
        problem = _vm.compile_kernel(source, config, target, vm)
        assert not problem, problem
    return str(target)


def compile_isolates(client: Path, folder: Path, packages: Mapping[str, Path] | None = None) -> str:
    """Compile a Dart client for ``Isolates``, unless that is done. Return the path of the result.

    The arguments are those of ``compiled``. The result is for the newest VM.
    """
    inside = folder / f"{client.stem}-isolates"
    inside.mkdir(exist_ok=True)
    (inside / "client.dart").write_text(f"export '{client.as_uri()}';\n", encoding="utf-8")
    found = {"client": inside, **(packages or {})}
    return compiled(PROGRAMS / "isolates.dart", inside, _vm.NEWEST, found)


_ENDED = re.compile(rb"^ended (\d+)\n\Z", re.MULTILINE)  # the last line that isolates.dart prints
_READ = 65536  # bytes of one read


@dataclass(frozen=True)
class Isolates(Command):
    """A client under test in Dart: each run is a new isolate of a VM, which starts on first use.

    To start a VM takes longer than five runs. A new isolate shares no memory with others. What
    belongs to the whole VM stays: the compiled code, the trusted roots and ``/etc/hosts``. For
    other roots or names, another VM starts.

    ``words`` are the command of the VM up to ``program``, the path that ``compile_isolates``
    returned, and then the words of the client.
    """

    program: str = ""
    _machines: dict[tuple[str, ...], subprocess.Popen[bytes]] = field(
        default_factory=dict, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def start(self, words: list[str], target: Target, output: BinaryIO, wait: Wait) -> Ending:
        """Run the client once, in a new isolate, and return how it ended."""
        if target.clock or target.time:
            raise CannotServeError("the clock of a VM that runs cannot be moved")
        after = words.index(self.program) + 1
        command = tuple(words[:after])
        with self._lock:
            machine = self._machines.get(command) or self._begin(command, target)
            assert machine.stdin is not None
            assert machine.stdout is not None
            said, answers = b"", machine.stdout.fileno()
            machine.stdin.write(json.dumps(words[after:]).encode() + b"\n")
            while not (result := _ENDED.search(said)):
                more = os.read(answers, _READ) if wait(answers, self.patience) else b""
                if not more:
                    self.close()
                    output.write(said)
                    return self.ending(None, output)
                said += more
        output.write(said[: result.start()])
        return ended(int(result[1]), output)

    def _begin(self, command: tuple[str, ...], target: Target) -> subprocess.Popen[bytes]:
        machine = self._machines[command] = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment(target, self.via)},
        )
        return machine

    def stop(self) -> None:
        """End the VMs, and start no further one."""
        super().stop()
        self.close()

    def close(self) -> None:
        """End the VMs."""
        for machine in tuple(self._machines.values()):
            machine.kill()
            machine.communicate()
        self._machines.clear()


class Jvm:
    """A client under test in Java. Its JVM starts on first use and serves all requests.

    Args:
        client: the name of the client in ``Proof.java``.
        folder: where to compile the Java program.
        find: returns the file that the client needs for a target, such as its pins.
    """

    def __init__(self, client: str, folder: Path, find: Callable[[Target], Path]) -> None:
        self._client = client
        self._folder = folder
        self._find = find
        self._lock = threading.Lock()
        self._java: subprocess.Popen[str] | None = None

    def run(self, target: Target) -> Ending:
        """Send one request to a target with a new client in the JVM, and return how it ended."""
        if target.clock:
            raise CannotServeError("the clock of a JVM that runs cannot be moved")
        words = target.url, target.proxy_port, target.truststore, self._find(target)
        with self._lock:
            java = self._java = self._java or self._begin()
            assert java.stdin is not None
            assert java.stdout is not None
            print(self._client, *words, file=java.stdin, flush=True)
            status, _, output = java.stdout.readline().partition(" ")
        return Ending(int(status or "1"), output)

    def _begin(self) -> subprocess.Popen[str]:
        self._folder.mkdir(exist_ok=True)
        compile_java(PROGRAMS / "Proof.java", self._folder)
        classpath = f"{_CLASSPATH}{os.pathsep}{self._folder}"
        return subprocess.Popen(
            ["java", "-XX:TieredStopAtLevel=1", "-cp", classpath, "Proof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def stop(self) -> None:
        """End the JVM."""
        if self._java:
            self._java.kill()
            self._java.communicate()


def okhttp_java(folder: Path) -> ClientUnderTest:
    """Return an OkHttp client that uses the exported Java class, which the JVM compiles."""
    return Jvm("okhttp-java", folder, lambda target: target.export("okhttp-java"))


def okhttp_kotlin(folder: Path) -> ClientUnderTest:
    """Return an OkHttp client that uses the exported Kotlin file, compiled with Debian's Kotlin."""
    return Jvm("okhttp-kotlin", folder, _build_kotlin)


def _build_kotlin(target: Target) -> Path:
    export = target.export("okhttp-kotlin")
    folder = export.with_name("built")
    if not folder.exists():
        compile_kotlin(export, folder)
    return folder


def compile_java(source: Path, folder: Path) -> None:
    """Compile a Java file that uses OkHttp into a folder, which exists."""
    words = ["javac", "-d", str(folder), "-cp", _CLASSPATH, str(source)]
    subprocess.run(words, check=True, timeout=110)


def compile_kotlin(source: Path, folder: Path) -> None:
    """Compile a Kotlin file that uses OkHttp into a folder."""
    # Debian builds its Kotlin for Java 21, and uses its new functions.
    home = require("java", "openjdk-21-jre-headless").parents[1]
    words = ["kotlinc", "-no-reflect", "-nowarn", "-cp", _CLASSPATH]
    words += ["-d", str(folder), str(source)]
    environment = {**os.environ, "JAVA_HOME": str(home)}
    subprocess.run(words, env=environment, check=True, timeout=110, capture_output=True)


def http_client(folder: Path) -> ClientUnderTest:
    """Return a Java ``HttpClient`` without pins, which trusts the anchors of nginx's export."""
    return Jvm(
        "HttpClient", folder, lambda target: target.export("nginx").with_name("nginx-anchors.pem")
    )


def curl() -> ClientUnderTest:
    """Return a client that runs curl with the exported configuration file."""
    return Command(("curl", "-sS", "--location", "--config", "{export:curl}", "{url}"))


def wget() -> ClientUnderTest:
    """Return a client that runs wget with the exported configuration file."""
    options = ("--config={export:wget}", "-qO-", "--tries=1", "--ca-certificate={ca}")
    return Command(("wget", *options, "{url}"))


def node() -> ClientUnderTest:
    """Return a client that runs Node.js with the exported module."""
    program = str(PROGRAMS / "client.mjs")
    return Command(("node", program, "{export:node}", "{host}", "{port}", "/{canary}"), via="port")
