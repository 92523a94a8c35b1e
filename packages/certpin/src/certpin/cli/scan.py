"""``certpin scan``: read the certificates of many hosts, and write them as JSON lines.

The list of hosts is read line by line, from a file or from a pipe that may be slow.
"""

from __future__ import annotations

import codecs
import os
import select
import shlex
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from certpin.cli.main import INCONCLUSIVE
from certpin.cli.options import Seconds, anchors_pem, ca_file_option, json_option
from certpin.cli.reply import print_last

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from certpin.errors import HostError
    from certpin.probe import Endpoint
    from certpin.probe.scan import ScannedEndpoints

_STANDARD_INPUT = 0
_LISTS = (".csv", ".hosts", ".json", ".jsonl", ".list", ".log", ".lst", ".tsv", ".txt")
_OTHER_FILES = 64  # the list, the output, the standard streams, and the name servers' sockets

_CHUNK = 64 * 1024
# A name has at most 253 characters (RFC 1035 section 2.3.4): a longer line is not a host.
_MAX_LINE = 4096
# After this many lines without a new host, the scan can serve its open connections.
_BATCH_LINES = 20_000


@click.command()
@click.argument("source", metavar="FILE|-", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file instead of standard output. An existing file is not overwritten.",
)
@click.option("--resume", is_flag=True, help="Skip the hosts that the output already has.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=256,
    show_default=True,
    help="How many hosts are scanned at the same time.",
)
@click.option(
    "--timeout",
    type=Seconds(min=0.05, max=600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one attempt may take.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    metavar="N",
    default=1,
    show_default=True,
    help="How often a host that does not answer is retried.",
)
@click.option(
    "--connect", metavar="ADDRESS:PORT", help="Connect to this IP address for every host."
)
@ca_file_option
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    source: str,
    output: Path | None,
    resume: bool,
    at_once: int,
    timeout: float,
    retries: int,
    connect: str | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Read the certificates of many hosts, as JSON lines.

    Use it to find out what many servers present, without pins.

    FILE has a HOST or HOST:PORT on each line; "-" reads them from standard input, as they come.
    Empty lines and lines that begin with "#" are ignored. Each host becomes one line of JSON, in
    the order of the answers: the pins of its chain, whether the chain verified, whether the name
    matched, when the certificate expires, or why there was no answer. certpin judges none of it: a
    chain that did not verify is an answer.

    The memory does not grow with the number of hosts. A scan that was stopped continues with
    --output FILE --resume. With --json, a last object has the number of hosts.

    \b
    certpin scan hosts.txt --output seen.jsonl
    certpin scan hosts.txt --output seen.jsonl --resume
    cat hosts.txt | certpin scan -

    Exit code 0: every host answered. 2: wrong usage, or a file can't be read or written. 3: some
    did not answer; their lines have the reason. With --resume, the hosts that the output already
    has count too.
    """  # noqa: D301  # click reads the \b itself
    from certpin.probe.scan import ScanLimits, ScannedEndpoints, record, scan_context
    from certpin.probe.scan import scan as scan_hosts

    if resume and output is None:
        raise click.UsageError("--resume needs --output: that file says which hosts are done")
    limits = ScanLimits(window=at_once, timeout=timeout, retries=retries)
    context = scan_context(anchors_pem(ca_file))
    override = _override(connect)
    _allow_open_files(at_once)
    with ExitStack() as files:
        listed = _open_source(files, source)
        sink, done = _open_output(files, output, resume=resume)
        before = done.unanswered if isinstance(done, ScannedEndpoints) else 0
        lines = ScanOutput(sink, files.enter_context(_progress()), output)
        hosts = host_list(listed, done, lines.add_invalid)
        for result in scan_hosts(hosts, context=context, limits=limits, connect=override):
            lines.add(record(result))
    if as_json:
        print_last(hosts=lines.hosts, silent=lines.unanswered, silent_before=before)
    if lines.unanswered or before:
        ctx.exit(INCONCLUSIVE)


def _open_source(files: ExitStack, source: str) -> BinaryIO:
    from certpin.support.text import printable

    try:
        if source == "-":
            os.read(_STANDARD_INPUT, 0)  # raises an error if it was closed
            return files.enter_context(os.fdopen(_STANDARD_INPUT, "rb", closefd=False))
        return files.enter_context(Path(source).open("rb"))
    except OSError as exc:
        problem = f"{printable(source)} cannot be read: {exc.strerror}"
        if isinstance(exc, FileNotFoundError) and _is_host(source):
            from certpin.errors import ConfigError

            fix = f"echo {shlex.quote(source)} | certpin scan -"
            raise ConfigError(problem, fix=fix) from exc
        raise click.UsageError(problem) from exc


def _is_host(source: str) -> bool:
    """Return True if an argument of ``certpin scan`` that names no file looks like a host.

    The error message then suggests to pass the host on standard input. Return False for a name that
    ends like a list of hosts, such as ``hosts.txt``. ``source`` is the argument.
    """
    from certpin.errors import HostError
    from certpin.probe import Endpoint, split_address

    try:
        Endpoint(*split_address(source))
    except HostError:
        return False
    return not source.lower().endswith(_LISTS)


def host_list(
    source: BinaryIO, done: Container[Endpoint], refused: Callable[[str, HostError], None]
) -> Iterator[Endpoint | None]:
    """Yield the hosts of a list, without empty lines and comments.

    Args:
        source: the list. It must have a file descriptor.
        done: the hosts to skip, because an earlier scan has a record of them.
        refused: called with the text and the error of each line that is not a host.

    Yields:
        A host to scan; or None, so that the caller can do other work. None is yielded if no line is
        available yet, and now and then while the lines have no host to scan.
    """
    for number, line in enumerate(_without_mark(_lines(source.fileno())), 1):
        endpoint = None if line is None else _parse_line(line, done, refused)
        if endpoint is not None or line is None or number % _BATCH_LINES == 0:
            yield endpoint


def _parse_line(
    line: bytes, done: Container[Endpoint], refused: Callable[[str, HostError], None]
) -> Endpoint | None:
    from certpin.errors import HostError
    from certpin.probe import Endpoint, split_address
    from certpin.support.text import printable

    text = line.decode("utf-8", "replace").strip()
    if not text or text.startswith("#"):
        return None
    try:
        endpoint = Endpoint(*split_address(text))
    except HostError as exc:
        text = printable(text)
        if Endpoint(text, 0) not in done:
            refused(text, exc)
        return None
    return None if endpoint in done else endpoint


def _without_mark(lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Yield lines, the first one without the byte order mark of Windows' editors."""
    for line in lines:
        if line is None:
            yield None
            continue
        yield line.removeprefix(codecs.BOM_UTF8)
        break
    yield from lines


def _lines(descriptor: int) -> Iterator[bytes | None]:
    """Yield the lines of a stream without line ends, cut at ``_MAX_LINE`` bytes.

    ``descriptor`` is the file descriptor of the stream. Yield None whenever no input is available,
    so that the caller never blocks on a slow pipe.
    """
    tail = b""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
            continue
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            break
        *whole, tail = (tail + chunk).split(b"\n")
        yield from (line[:_MAX_LINE] for line in whole)
        tail = tail[:_MAX_LINE]
    if tail:
        yield tail


def _open_output(
    files: ExitStack, output: Path | None, *, resume: bool
) -> tuple[BinaryIO, ScannedEndpoints | tuple[()]]:
    """Open the file for the scan's records. With ``--resume``, append to an existing file.

    Args:
        files: closes the file at the end.
        output: the file; None for standard output.
        resume: continue an earlier scan.

    Returns:
        The open file, and a container of the hosts that already have a record in the file.

    Raises:
        click.UsageError: the file can't be written; or it is not empty, and ``resume`` is False.
    """
    from certpin.probe.scan import ScannedEndpoints
    from certpin.support.text import printable

    if output is None:
        return sys.stdout.buffer, ()
    name = printable(str(output))
    try:
        sink: BinaryIO = output.open("ab+" if resume else "ab")
        files.callback(_close, sink)
        if resume:
            sink.seek(0)
            return sink, ScannedEndpoints(sink)
    except OSError as exc:
        raise click.UsageError(f"{name} cannot be written: {exc.strerror or exc}") from exc
    if os.fstat(sink.fileno()).st_size:
        raise click.UsageError(
            f"{name} is not empty: continue it with --resume, or name a new file"
        )
    return sink, ()


def _close(sink: BinaryIO) -> None:
    with suppress(OSError):  # each record was flushed; a failure has been raised as an error
        sink.close()


class ScanOutput:
    """Writes one JSON record for each scanned host, and counts the records.

    Each record is written immediately, so that a killed scan loses none.

    Args:
        sink: the output.
        advance: called after each record.
        output: the file that the user named for the output; None for standard output.

    Attributes:
        hosts: the number of records.
        unanswered: the number of records with an error.
    """

    def __init__(
        self, sink: BinaryIO, advance: Callable[[], None], output: Path | None = None
    ) -> None:
        self.hosts = 0
        self.unanswered = 0
        self._sink = sink
        self._advance = advance
        self._output = output

    def add(self, fields: dict[str, Any]) -> None:
        """Write the record of one scanned host.

        Raises:
            ConfigError: the file that the user named can't be written.
            OSError: standard output can't be written, or the reader of a pipe has closed it.
        """
        from certpin.errors import ConfigError
        from certpin.probe.scan import record_line
        from certpin.support.text import printable

        try:
            self._sink.write(record_line(fields).encode() + b"\n")
            self._sink.flush()
        except OSError as exc:
            if self._output is None or isinstance(exc, BrokenPipeError):
                raise
            raise ConfigError(
                f"{printable(str(self._output))} cannot be written: {exc.strerror or exc}",
                key="--output",
                fix="make space on its disk, then continue the scan with --resume",
            ) from exc
        self.hosts += 1
        self.unanswered += fields["error"] is not None
        self._advance()

    def add_invalid(self, text: str, error: HostError) -> None:
        """Write the error record of an input line that is not a host; ``text`` is the line."""
        from certpin.probe.scan import invalid_host_record

        self.add(invalid_host_record(text, error))


def _allow_open_files(connections: int) -> None:
    """Raise the process's limit of open files to the number that parallel connections need.

    Otherwise hosts would be recorded as unanswered although this machine never connected to them.

    Raises:
        click.UsageError: the system does not allow so many open files.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as exc:
        raise click.UsageError(
            f"--at-once {connections} needs {needed} open files, and this system allows {hard}"
        ) from exc


def _override(connect: str | None) -> tuple[str, int] | None:
    from certpin.pins.hosts import is_address
    from certpin.probe import split_address

    if connect is None:
        return None
    host, port = split_address(connect, 0)
    if not port or not is_address(host):
        raise click.UsageError(
            "--connect needs an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443"
        )
    return host, port


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """Context manager: show the number of finished hosts if standard error is a terminal.

    Yields:
        A function to call after each host.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("hosts"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.advance(task)
