"""The client under test: its command, files and environment variables, and how its run ended.

The folder of a run contains only files for the client: certificates, pins, and the client
certificate with its key. The lab's keys stay in memory.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from certpin.lab.case import CannotServeError
from certpin.lab.scenario import PROXY_ADDRESS
from certpin.lab.verdict import Ending
from certpin.pinfile.editor import PinFileEditor
from certpin.x509.certificate import without_deprecations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta
    from typing import BinaryIO

    from certpin.lab.target import Target
    from certpin.pins import PinSet


_DARWIN = sys.platform == "darwin"
_PRELOAD = "DYLD_INSERT_LIBRARIES" if _DARWIN else "LD_PRELOAD"
_SUFFIX = "1.dylib" if _DARWIN else "so.1"
# The build for programs with threads comes first: it also works for programs without threads.
_NAMES = (f"libfaketimeMT.{_SUFFIX}", f"libfaketime.{_SUFFIX}")
# The folders of Debian, Fedora, Arch and Homebrew.
_FOLDERS = (
    "/usr/lib/*/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/opt/homebrew/lib/faketime",
)
_FIX = "install libfaketime: apt-get install libfaketime"


def moved_clock(by: timedelta, to: datetime | None = None) -> dict[str, str]:
    """Return the environment variables that move or freeze the clock of a program.

    They have no effect on a statically linked program, such as many Go programs.

    Args:
        by: the offset of the clock. It has no effect if ``to`` is given.
        to: the time that the clock always shows, in whole seconds, with a time zone; None to let
            the clock run.

    Returns:
        The variables by name; empty if ``by`` is zero and ``to`` is None.

    Raises:
        CannotServeError: libfaketime is missing.
    """
    if not by and to is None:
        return {}
    library = faketime()
    if library is None:
        raise CannotServeError("libfaketime is needed to move the client's clock", fix=_FIX)
    before = os.environ.get(_PRELOAD)
    # Stopped, because a certificate may expire at the second after this time.
    stopped = {} if to is None else {"FAKETIME_FMT": "%s", "FAKETIME": str(int(to.timestamp()))}
    return {
        _PRELOAD: f"{library}:{before}" if before else str(library),
        "FAKETIME": f"{by.total_seconds():+.0f}",
        **stopped,
        # Time-outs must still work, and the dates of files must not change.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Otherwise pthread_cond_timedwait on the monotonic clock ends at once: threads of Java wait
        # with it, and those of Python for their interpreter lock.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DISABLE_SHM": "1",  # a killed client would leave shared memory behind
    }


def faketime() -> Path | None:
    """Return the path of libfaketime, which moves a program's clock; None if it is missing."""
    return next(_places(), None)


def _places() -> Iterator[Path]:
    for name in _NAMES:
        for folder in _FOLDERS:
            yield from sorted(Path("/").glob(f"{folder[1:]}/{name}"))


_JAVA_PASSWORD = "changeit"  # noqa: S105  # Java's own default; the store holds no secret

_JAVA_ROUNDS = 1000  # of PBKDF2: the least that RFC 8018 section 4.2 recommends

# The environment variables from which clients read their roots.
_CA_FILE = (
    "SSL_CERT_FILE",  # OpenSSL, Python, Go, Ruby, Rust's native certificates
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "CERTPIN_LAB_CA",
)
# certpin's own secrets. A program that certpin starts needs none of them.
_OWN_SECRETS = {"CERTPIN_PASSPHRASE", "CERTPIN_PKCS11_PIN", "CERTPIN_WATCH_TOKEN"}
_HTTPS_PROXY = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HTTP_PROXY = ("HTTP_PROXY", "http_proxy")


def write_client_files(folder: Path, trusted_pem: bytes) -> None:
    """Write the files that every client gets into ``folder``.

    These are the trusted roots as a PEM file and as a Java trust store. There is also an empty
    folder, which replaces the system's folder of trusted roots (``SSL_CERT_DIR``).
    """
    (folder / "trusted.pem").write_bytes(trusted_pem)
    (folder / "trusted.p12").write_bytes(_java_store(trusted_pem))
    (folder / "no-certificates").mkdir()


def write_pins(path: Path, pins: PinSet) -> None:
    """Write the client's pins to a pin file, without syncing it to disk, because it is temporary.

    The file is not read back to check it. If it had an error, the client would refuse even the
    honest server, and the lab would report that the run proves nothing.
    """
    editor = PinFileEditor.new(path, pins.name, version=1)
    if pins.ct_logs:
        logs = path.with_suffix(".logs.json")
        logs.write_text(json.dumps(pins.ct_logs.to_json()), encoding="utf-8")
        editor.add_log_list(logs.name)
    for policy in pins.policies:
        editor.add_host(policy)
    path.write_text(editor.text, encoding="utf-8")


def inherited_environment() -> dict[str, str]:
    """Return the environment of this process without certpin's secrets, for a child process."""
    return {name: value for name, value in os.environ.items() if name not in _OWN_SECRETS}


def environment(target: Target, via: str) -> dict[str, str]:
    """Return the environment variables that make a client trust the lab's roots and use its proxy.

    Variables with names ``CERTPIN_…`` contain the case, the lab's addresses, and the pins. The
    user's own proxy variables are replaced, or emptied if the client uses no proxy.

    Args:
        target: the case, with the lab's addresses and files.
        via: how the client reaches the lab: ``connect`` or ``socks5`` for a proxy, ``port`` for a
            direct connection. With ``port``, the URLs in the variables contain the lab's port.

    Raises:
        CannotServeError: the client's clock must be moved, and libfaketime is missing.
    """
    if via == "port":
        target = target.direct
    proxy = {"connect": target.proxy, "socks5": target.socks}.get(via, "")
    variables = dict.fromkeys(_CA_FILE, str(target.ca))
    variables |= dict.fromkeys((*_HTTPS_PROXY, *_HTTP_PROXY), proxy)
    variables |= {"NO_PROXY": "", "no_proxy": ""}
    if via == "connect":
        # Without it, Node.js ignores the proxy; versions before 22.21 and 24.5 always do.
        variables["NODE_USE_ENV_PROXY"] = "1"
    variables |= {
        "SSL_CERT_DIR": str(target.folder / "no-certificates"),
        "JAVA_TOOL_OPTIONS": _java_options(target, via),
        "CERTPIN_PINS": str(target.pins),
        "CERTPIN_LAB_CASE": target.case,
        "CERTPIN_LAB_HOST": target.host,
        "CERTPIN_LAB_HOST2": target.second_host,
        "CERTPIN_LAB_ADDRESS": target.address,
        "CERTPIN_LAB_PORT": str(target.port),
        "CERTPIN_LAB_PROXY": target.proxy,
        "CERTPIN_LAB_URL": target.url,
        "CERTPIN_LAB_URL2": target.second_url,
        "CERTPIN_LAB_PINS": " ".join(target.accepted[:2]).strip(),
        "CERTPIN_LAB_COMPROMISED": target.compromised,
        "CERTPIN_LAB_CERT": str(target.pinned_pem),
        "CERTPIN_LAB_FINGERPRINT": target.pinned_sha256,
        "CERTPIN_LAB_EXPORTS": str(target.exports.folder) if target.exports else "",
        "CERTPIN_LAB_ECH": target.ech,
        "CERTPIN_LAB_CLIENT_CERT": str(target.client_certificate),
        "CERTPIN_LAB_CLIENT_KEY": str(target.client_key),
    }
    return variables | moved_clock(target.clock, target.time)


def _java_options(target: Target, via: str) -> str:
    options = {
        "javax.net.ssl.trustStore": str(target.truststore),
        "javax.net.ssl.trustStorePassword": _JAVA_PASSWORD,
        "javax.net.ssl.trustStoreType": "PKCS12",
    }
    if via == "connect":
        options |= {"https.proxyHost": PROXY_ADDRESS, "https.proxyPort": str(target.proxy_port)}
        options |= {"http.proxyHost": PROXY_ADDRESS, "http.proxyPort": str(target.proxy_port)}
        options |= {"http.nonProxyHosts": ""}
    if via == "socks5":
        options |= {"socksProxyHost": PROXY_ADDRESS, "socksProxyPort": str(target.proxy_port)}
    return " ".join(f"-D{name}={value}" for name, value in options.items())


def _java_store(trusted_pem: bytes) -> bytes:
    with without_deprecations():
        roots = x509.load_pem_x509_certificates(trusted_pem)
    certificates = [
        pkcs12.PKCS12Certificate(certificate, b"lab-%d" % index)
        for index, certificate in enumerate(roots)
    ]
    # The roots are public: without many rounds, a case with its own roots begins 3 ms earlier.
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_JAVA_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(_JAVA_PASSWORD.encode())
    )
    return pkcs12.serialize_java_truststore(certificates, encryption)


# Waits until a descriptor is readable, for so many seconds: returns True if it is. Without a
# descriptor it waits for the whole time.
Wait = Callable[[int | None, float], bool]


def wait_for(descriptor: int | None, seconds: float) -> bool:
    """Wait until a descriptor is readable, for at most ``seconds``. Return True if it is readable.

    If ``descriptor`` is None, wait the whole time, and return False. This function is the default
    for parameters of the type ``Wait``. Unlike ``CaseServer.wait_for``, it only waits, and serves
    no connections.
    """
    end = select.poll()
    if descriptor is not None:
        end.register(descriptor, select.POLLIN)
    return bool(end.poll(1000 * seconds))


PATIENCE = 20.0  # seconds, the time limit of one run of a client
INTERRUPTED = "the run was interrupted"
_POLLED = 0.05  # seconds between two looks at a process without a descriptor; most take less
_KEPT = 8 * 1024  # bytes of a client's output that are kept, counted from its end
_CONTINUATION = re.compile(rb"^[\x80-\xbf]{1,3}")  # RFC 3629 section 3

# The placeholders of a command, and their values.
SUBSTITUTIONS: dict[str, Callable[[Target], str]] = {
    "host": lambda target: target.host,
    "address": lambda target: target.address,
    "port": lambda target: str(target.port),
    "endpoint": lambda target: target.endpoint,
    "ca": lambda target: str(target.ca),
    "proxy": lambda target: target.proxy,
    "socks": lambda target: target.socks,
    "case": lambda target: target.case,
    "url": lambda target: target.url,
    "host2": lambda target: target.second_host,
    "url2": lambda target: target.second_url,
    "canary": lambda target: target.canary,
    "pins": lambda target: str(target.pins),
    "pin": lambda target: target.pin,
    "backup": lambda target: target.backup,
    "pin2": lambda target: target.second_pin,
    "backup2": lambda target: target.second_backup,
    "anchors": lambda target: str(target.anchors),
    "anchors2": lambda target: str(target.second_anchors),
    "cert": lambda target: str(target.certificate),
    "fingerprint": lambda target: target.fingerprint,
    "pinnedpubkey": lambda target: target.pinnedpubkey,
    "compromised": lambda target: target.compromised,
    "truststore": lambda target: str(target.truststore),
    "dns": lambda target: f"{PROXY_ADDRESS}:{target.dns_port}",
    "ech": lambda target: target.ech,
    "client_cert": lambda target: str(target.client_certificate),
    "client_key": lambda target: str(target.client_key),
}
EXPORT_FORMAT = "[a-z0-9-]{1,80}"  # pattern of the name of a format
# The pins in a format of ``certpin export``: replaced by the path of the file.
_EXPORT = re.compile(rf"\{{export:({EXPORT_FORMAT})\}}")


class ClientUnderTest(Protocol):
    """Interface of a client under test: a program or a function that connects to the lab."""

    def run(self, target: Target) -> Ending:
        """Run the client once against a case (``target``).

        Returns:
            How the run ended. A failure of the client is part of this result, and not raised.

        Raises:
            CannotServeError: the client cannot be directed to the target.
        """

    def stop(self) -> None:
        """Stop a running client.

        The lab calls this from another thread if the user interrupts the run.
        """


@dataclass(frozen=True)
class Call:
    """A client that is a function in this process. It refuses a server by raising an exception.

    The exception ``CannotServeError`` is no refusal: the case is then reported as not run.
    Attributes of the target, such as ``pin``, raise it if the case has no such value.
    """

    function: Callable[[Target], object]

    def run(self, target: Target) -> Ending:
        """Call the function with the target, and return how it ended: if it raised, as a failure.

        Raises:
            CannotServeError: the case moves the clock, or the function raised the error.
            TypeError: the function returned a coroutine, which would never run.
        """
        if target.clock or target.time:
            raise CannotServeError(
                "the clock of a function in this process cannot be moved",
                fix="prove a program that calls it: certpin prove -- COMMAND",
            )
        try:
            answer = self.function(target)
        except CannotServeError:
            raise
        except Exception as exc:  # noqa: BLE001  # a client may raise anything
            return _returned(1, f"{type(exc).__name__}: {exc}")
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError(
                "the client is a coroutine function, which attack(client) does not run\n"
                "  fix: asyncio.run(attack.call_async(client)), or await it in a coroutine"
            )
        return _returned(0, "" if answer is None else str(answer))

    def stop(self) -> None:
        """Do nothing: a function can't be stopped. The lab waits until it returns."""


@dataclass(frozen=True)
class Command:
    """A client that is a program. Exit status 0 means that it accepted the server.

    Attributes:
        words: the program and its arguments. Placeholders such as ``{host}`` and ``{port}`` are
            replaced for each case.
        via: how the program reaches the lab: ``connect`` or ``socks5`` if it uses a proxy, which it
            gets in environment variables; ``port`` if it connects directly, to URLs with the lab's
            port.
        patience: the time limit of a run in seconds.
    """

    words: tuple[str, ...]
    via: str = "connect"
    patience: float = PATIENCE
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set, compare=False)
    _stopped: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def names_host(self) -> bool:
        """True if the command has ``{host}`` or ``{url}``, and so requests the case's host.

        Otherwise it always requests the same host, and cases for a different one can't be run.
        """
        return any("{host}" in word or "{url}" in word for word in self.words)

    def run(self, target: Target, wait: Wait = wait_for) -> Ending:
        """Run the command once against a case, and return how it ended.

        The program's standard input is empty, and it runs in a new session. Processes that it
        started and left behind are killed at the end.

        Args:
            target: the case.
            wait: a function that waits for the program, and can serve its connections meanwhile.

        Raises:
            CannotServeError: the command has the name of one host, and the case needs another host;
                the case needs a client that uses the HTTP proxy; a placeholder has no value in this
                case; or libfaketime is needed and missing.
        """
        if target.only_by_proxy and self.via != "connect":
            raise CannotServeError(
                "only applies to a client that uses an HTTP proxy", fix="run it with --via connect"
            )
        if target.elsewhere and not self.names_host:
            raise CannotServeError(
                f"the command calls a fixed host, and not {target.host}",
                fix="write {host} or {url} in place of the host",
            )
        if self._stopped.is_set():
            return Ending(None, problem=INTERRUPTED)
        words = substitute(self.words, target.direct if self.via == "port" else target)
        try:
            output = tempfile.TemporaryFile()  # noqa: SIM115  # it is the context below
        except OSError as exc:
            return Ending(None, problem=f"{words[0]} did not start: {exc.strerror}")
        with output:
            return self.start(words, target, output, wait)

    def start(self, words: list[str], target: Target, output: BinaryIO, wait: Wait) -> Ending:
        """Start the program once, and return how it ended.

        If the program can't be started, or exceeds its time limit, the result says so, and no
        exception is raised.

        Args:
            words: the program and its arguments, in which all placeholders are already replaced.
            target: the case.
            output: the file for the program's output and errors.
            wait: a function that waits for the program.
        """
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited_environment() | environment(target, self.via),
                start_new_session=True,
            )
        except OSError as exc:
            return Ending(None, problem=f"{words[0]} did not start: {exc.strerror}")
        return self._end(process, output, wait)

    def stop(self) -> None:
        """Kill every running process of the command, and start no further one."""
        self._stopped.set()
        for process in tuple(self._running):
            _kill(process)

    def close(self) -> None:
        """Do nothing: a command keeps no process between runs. ``WarmCommand`` overrides this."""

    def _end(self, process: subprocess.Popen[bytes], output: BinaryIO, wait: Wait) -> Ending:
        self._running.add(process)
        if self._stopped.is_set():  # stop() ran between the start and the line above
            _kill(process)
        try:
            in_time = _ends(process, self.patience, wait)
        finally:
            self._running.discard(process)
            _kill(process)  # and its children
        status = process.wait()
        return self.ending(status if in_time else None, output)

    def ending(self, status: int | None, output: BinaryIO) -> Ending:
        """Return how a client of this command ended.

        Args:
            status: its exit status; None if it was killed at its time limit.
            output: the file with its output. The ending contains the last 8 KiB.
        """
        late = "" if status is not None else f"the client did not end within {self.patience:g} s"
        return replace(ended(status, output, late), via=self.via)


class EveryWay:
    """A program that reaches the lab in several ways: directly, or through a proxy of the lab.

    Each run of a case takes the next way. To cover all ways, the caller has to run each case as
    often as there are ways, or a multiple of that.
    """

    def __init__(self, commands: Sequence[Command]) -> None:
        """Store the commands.

        The first run of each case uses the first command, the second run the second one, and so on.
        After the last command, the first one is used again.

        Args:
            commands: commands for the program, one for each way to reach the lab; at least one.
        """
        self.words = commands[0].words
        self._commands = tuple(commands)
        self._runs: Counter[str] = Counter()  # of each case: cases run in parallel
        self._lock = threading.Lock()

    def run(self, target: Target, wait: Wait = wait_for) -> Ending:
        """Run the program once, in the next way for this case, and return how it ended.

        A case that only affects clients of the HTTP proxy is run through this proxy each time, if
        one of the commands uses it.

        Args:
            target: the case.
            wait: a function that waits for the program, and can serve its connections meanwhile.

        Raises:
            CannotServeError: the command has the name of one host, and the case needs another host;
                the case needs a client that uses the HTTP proxy; a placeholder has no value in this
                case; or libfaketime is needed and missing.
        """
        with self._lock:
            number = self._runs[target.case]
            self._runs[target.case] += 1
        proxied = [command for command in self._commands if command.via == "connect"]
        commands = proxied if target.only_by_proxy and proxied else self._commands
        return commands[number % len(commands)].run(target, wait)

    def stop(self) -> None:
        """Kill every running process of the program, and start no further one."""
        for command in self._commands:
            command.stop()

    def close(self) -> None:
        """Close the commands: end the processes that they keep between two runs."""
        for command in self._commands:
            command.close()


def _ends(process: subprocess.Popen[bytes], patience: float, wait: Wait) -> bool:
    """Wait for a process, at most ``patience`` seconds. Return True if it has ended by then.

    A process that has not ended is not killed here. ``wait`` is the function that waits; it can
    serve connections of the process meanwhile.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old kernel
        limit = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < limit:
            wait(None, _POLLED)
        return process.poll() is not None
    try:
        return wait(descriptor, patience)
    finally:
        os.close(descriptor)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, which form a process group. Ignore it if they have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def exports_in(words: Sequence[str]) -> list[str]:
    """Return the names of the formats in the placeholders ``{export:FORMAT}`` of a command.

    ``words`` are the words of the command.
    """
    return [name for word in words for name in _EXPORT.findall(word)]


def substitute(words: Sequence[str], target: Target) -> list[str]:
    """Return the words of the client's command for one case, with every placeholder replaced.

    ``words`` are the command as the user wrote it, and ``target`` has the values of the case.

    Raises:
        CannotServeError: a requested export format can't express the pins. Or the case has a
            compromised key, and the command gets its pins by placeholders such as ``{pin}``, but
            doesn't have ``{compromised}``: the client then can't know which key is compromised.
    """
    values = target
    if any("{compromised}" in word for word in words):
        words = [word.replace("{compromised}", target.compromised) for word in words]
        values = replace(target, compromised="")
    return [_fill(word, values) for word in words]


def _fill(word: str, target: Target) -> str:
    """Return a word of a command with its placeholders replaced by their values.

    All other braces are kept, because they can be part of JSON or an awk program. ``target`` has
    the values of the case. Raises ``CannotServeError`` if one of them is missing in this case.
    """
    for name, value in SUBSTITUTIONS.items():
        if f"{{{name}}}" in word:
            word = word.replace(f"{{{name}}}", value(target))
    return _EXPORT.sub(lambda match: str(target.export(match[1])), word)


def ended(status: int | None, output: BinaryIO, problem: str = "") -> Ending:
    """Return how a run of a program ended, with the last 8 KiB of its output as text.

    Args:
        status: the exit status of the program; None if the lab stopped it.
        output: the file with the program's output.
        problem: the reason why the lab stopped the program.
    """
    cut = max(0, output.seek(0, os.SEEK_END) - _KEPT)
    output.seek(cut)
    kept = output.read()
    if cut:  # the rest of a character that is only partly kept
        kept = _CONTINUATION.sub(b"", kept, count=1)
    return Ending(status, kept.decode(errors="replace"), problem, cut=cut > 0)


def _returned(status: int, output: str) -> Ending:
    """Return how a run of a function ended, with the last 8192 characters of its output.

    ``status`` is 0 if the function returned, and 1 if it raised an exception. ``output`` is the
    returned value or the exception as text.
    """
    return Ending(status, output[-_KEPT:], cut=len(output) > _KEPT)
