"""``certpin prove``: attack a client with all cases of the lab, and report which succeed."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import closing
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from certpin.cli.cases import case_file_option, case_option, foreign_option, with_foreign
from certpin.cli.choices import CLIENT_SECONDS, LAB_PROTOCOLS, STALL_SECONDS, STYLES
from certpin.cli.fuzzing import fuzz_certpin, fuzz_client, fuzz_options
from certpin.cli.main import INCONCLUSIVE, report_error, stop_on_signals, unknown
from certpin.cli.options import anchors_pem, ca_file_option, json_option
from certpin.cli.reply import check_folder, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.cli.fuzzing import FuzzOptions
    from certpin.lab.case import Case
    from certpin.lab.evidence.facts import AttackedFiles
    from certpin.lab.evidence.minisign import MinisignKey

_file = click.Path(dir_okay=False, path_type=Path)
_MAX_REPEAT = 100
_MIN_BOUND, _MAX_BOUND = 0.1, 50.0  # percent; 0.1 needs 2,995 refused connections
_MAX_CHAINS = 1_000_000
# A command that contains one of these connects to the lab without a proxy.
_DIRECT = ("{address}", "{port}", "{endpoint}")
# An argument that is no code: an option, a path, a URL.
_PLAIN_WORD = re.compile(r"[\w./:;,=@+{}-]*", re.ASCII)
_BRACED = re.compile(r"(?<!\{)\{([A-Za-z][\w:-]{0,80})\}(?!\})", re.ASCII)


def _check_location(
    ctx: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Return the value of ``--sarif-location``: the file of the repository that findings point to.

    Raises:
        click.BadParameter: the value is a URL. Code scanning accepts only files.
    """
    if path and ":/" in str(path):
        raise click.BadParameter(f"{path} is a URL\n  fix: name a file of your repository")
    return path


@click.command()
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--host",
    default="api.bank.example",
    show_default=True,
    metavar="NAME",
    help="The host to which the client connects. The lab answers for it.",
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="leaf",
    show_default=True,
    help="The pins of the client: the server's key (leaf), an authority (ca), or none.",
)
@click.option(
    "--via",
    type=click.Choice(["connect", "socks5", "port", "all"]),
    help="How the client finds the lab: by environment variables for an HTTP proxy (connect) or a "
    "SOCKS5 proxy (socks5), or by its arguments (port). all runs each case with an HTTP proxy and "
    "without one, and the worst result counts. By default port if the command has {port}, "
    "{address} or {endpoint}. Only with port, {url} contains the lab's port.",
)
@case_option
@case_file_option
@foreign_option
@click.option(
    "--fuzz",
    type=click.IntRange(1, _MAX_CHAINS),
    metavar="N",
    help="Instead of the cases, serve N mutated chains, and compare the client with OpenSSL, "
    "certpin, cryptography and Go. Without COMMAND, certpin itself is compared.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="S",
    help="The seed of --fuzz: the same N, S and host give the same chains.",
)
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The new folder for the minimal chains that --fuzz finds, with a case file.",
)
@click.option(
    "--protocol",
    type=click.Choice(LAB_PROTOCOLS),
    default="http",
    show_default=True,
    help="The protocol of the client. smtp, imap and postgres use STARTTLS.",
)
@click.option(
    "--tls",
    type=click.Choice(["1.2", "1.3"]),
    help="Serve only this TLS version; by default both.",
)
@click.option(
    "--client-certificate",
    is_flag=True,
    help="Request a client certificate; {client_cert} and {client_key} are one that the lab makes.",
)
@click.option(
    "--pins",
    "pin_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The real pins of the client, for a released app: the lab relays to its real server. "
    "Without it, the lab makes the pins and passes them to the client.",
)
@click.option(
    "--upstream",
    metavar="HOST[:PORT]",
    help="The real server. By default, with --pins, the host's server in that file, else the host "
    "itself.",
)
@ca_file_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=os.cpu_count() or 1,
    metavar="N",
    help="The number of parallel runs of the client; by default one for each processor. Use 1 for "
    "a client that can't run twice at the same time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=CLIENT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="The time limit for one run of the client.",
)
@click.option(
    "--stall",
    type=click.FloatRange(0.0, 600),
    default=STALL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long a slow or silent attacker keeps the client waiting. Choose more than the "
    "client's own time-outs, and less than --timeout.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, _MAX_REPEAT),
    default=1,
    metavar="N",
    help="Run each case N times. Different results are reported as flaky, and the worst counts.",
)
@click.option(
    "--bound",
    type=click.FloatRange(_MIN_BOUND, _MAX_BOUND),
    metavar="PERCENT",
    help="Repeat attacks until so many were refused that, with 95 % confidence, the client skips "
    "its checks on fewer than this share of its connections.",
)
@click.option(
    "--warm",
    is_flag=True,
    help="Import the modules of a Python client once, and fork for each case, which is faster. The "
    "command must begin with python.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the verdict, in one line.")
@click.option("-v", "--verbose", is_flag=True, help="Print a table of all cases, too.")
@click.option("--junit", type=_file, metavar="FILE", help="Write JUnit XML, for CI.")
@click.option("--sarif", type=_file, metavar="FILE", help="Write SARIF 2.1.0, for code scanning.")
@click.option(
    "--sarif-location",
    type=_file,
    callback=_check_location,
    metavar="PATH",
    help="The file of your repository for the findings in SARIF. By default that of --pins, else "
    "pins.toml.",
)
@click.option(
    "--html", type=_file, metavar="FILE", help="Write an HTML page with evidence and pictures."
)
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a folder for an auditor: all reports, the facts about client and machine, and the "
    "digests of all files.",
)
@click.option(
    "--client-version",
    default="",
    metavar="TEXT",
    help="The version of the client, for the evidence.",
)
@click.option(
    "--sign-key",
    type=_file,
    metavar="FILE",
    help="Sign the evidence with this secret key of minisign. Its passphrase is read from "
    "CERTPIN_PASSPHRASE, or asked on a terminal.",
)
@json_option
@click.pass_context
def prove(
    ctx: click.Context,
    /,
    command: tuple[str, ...],
    host: str,
    style: str,
    cases: list[Case],
    case_file: Path | None,
    foreign: tuple[bytes, bytes] | None,
    fuzz: int | None,
    seed: int,
    save: Path | None,
    protocol: str,
    tls: Literal["1.2", "1.3"] | None,
    client_certificate: bool,
    pin_file: Path | None,
    upstream: str | None,
    ca_file: Path | None,
    jobs: int,
    as_json: bool,
    sarif_location: Path | None,
    via: str | None,
    timeout: float,
    stall: float,
    repeat: int,
    bound: float | None,
    warm: bool,
    quiet: bool,
    verbose: bool,
    evidence: Path | None,
    client_version: str,
    sign_key: Path | None,
    **files: Path | None,
) -> None:
    """Attack a client, and report which attacks succeed.

    COMMAND, after two dashes, is any program that connects to the host. It runs once for each case:
    a forged certificate, a man in the middle with an authority that the machine trusts, a
    legitimate renewal, and so on. Exit status 0 means that the client accepted the connection. The
    lab records the data that the client sent.

    \b
    certpin prove --style none -- curl -sS {url}
    certpin prove -- curl -sS --pinnedpubkey '{pinnedpubkey}' {url}
    certpin prove -- python my_client.py
    certpin prove --case-file cases.toml -- python my_client.py
    certpin prove --fuzz 500 --style none -- curl -sS {url}

    Environment variables make most clients trust the lab's root, and use the lab's proxy. For other
    clients, these placeholders are replaced in the command: {host} {url} {address} {port}
    {endpoint} {proxy} {socks} {dns} {ca} {truststore} {pins} {pin} {backup} {pinnedpubkey}
    {compromised} {anchors} {cert} {fingerprint} {canary} {case} {ech} {client_cert} {client_key},
    {host2} {url2} {pin2} {backup2} {anchors2} for a second host, and {export:FORMAT} for the file
    that `certpin export FORMAT` writes.

    Exit code 0: no problem found. 1: an attack succeeded, or a legitimate server was refused; with
    --fuzz, the client accepted a chain that all others refuse. 3: inconclusive, for example because
    the client never connected to the honest server, or a judged case of --case-file could not be
    run.
    """  # noqa: D301  # click reads the \b itself
    fuzzing = _fuzzing(ctx, fuzz, seed, save)
    _refuse_if(
        {
            "--quiet and --verbose contradict each other: use one of them": quiet and verbose,
            "--sarif-location needs --sarif FILE": sarif_location and not files["sarif"],
            "--html, --junit and --sarif need different files": _is_repeated(files.values()),
            "--sign-key needs --evidence DIR": sign_key and not evidence,
            "--client-version needs --evidence DIR": client_version and not evidence,
            "--case-file replaces the real server: leave out --pins and --upstream": case_file
            and (pin_file or upstream),
            "--via all needs {address}, {port} or {endpoint} in the command: without a proxy, the "
            "client finds the lab by them": via == "all" and _default_route(command) != "port",
        }
    )
    from certpin.cli.prove_result import RunProgress, print_result, write_evidence, write_reports
    from certpin.lab.case import LabError
    from certpin.lab.client import Command, EveryWay
    from certpin.lab.lab import Lab, remove_leftovers
    from certpin.lab.pki import Style
    from certpin.lab.report.words import exit_code
    from certpin.lab.runner import prove as run_matrix
    from certpin.lab.upstream import find_upstream
    from certpin.lab.warm import WarmCommand
    from certpin.pins import normalise

    for file in filter(None, files.values()):
        check_folder(file)
    name = normalise(host)
    cases = with_foreign(cases, foreign, [name])
    prepared = _prepare_evidence(evidence, command, sign_key) if evidence else None
    check_placeholders(command)
    if fuzzing and not command:
        ctx.exit(fuzz_certpin(name, fuzzing))
    _check_program(command[0])
    real = (
        find_upstream(name, protocol, pin_file, upstream, anchors_pem(ca_file))
        if pin_file or upstream
        else None
    )
    routes = ("connect", "port") if via == "all" else (via or _default_route(command),)
    commands = [(WarmCommand if warm else Command)(command, route, timeout) for route in routes]
    client = EveryWay(commands) if len(commands) > 1 else commands[0]
    lab = Lab(
        name,
        Style(style),
        protocol=protocol,
        tls=tls or "",
        client_certificates=client_certificate,
        resolver=any("{dns}" in word for word in command),
        upstream=real,
        stall=stall,
    )
    for folder in remove_leftovers():
        say("certpin", f"removed {folder}, left by a run that was killed")
    if fuzzing:
        ctx.exit(fuzz_client(lab, client, fuzzing))
    bar = RunProgress(len(cases) + 2, shown=not (quiet or as_json))
    try:
        with stop_on_signals(), lab, bar, closing(client):
            run = run_matrix(
                lab,
                client,
                cases,
                jobs=jobs,
                repeat=repeat * len(routes),
                bound=bound / 100 if bound else None,
                progress=bar.advance,
            )
    except LabError as exc:
        report_error(exc)
        ctx.exit(INCONCLUSIVE)
    check = ""
    # Files come before the text: a reader that closes the pipe (`| head`) ends the command. None is
    # left out because another failed: the run can have taken an hour.
    try:
        try:
            write_reports(run, files, sarif_location or pin_file or Path("pins.toml"))
        finally:
            if evidence and prepared:
                check = write_evidence(run, evidence, *prepared, client_version)
    finally:
        print_result(run, check, as_json=as_json, quiet=quiet, verbose=verbose)
    ctx.exit(exit_code(run))


def _fuzzing(
    ctx: click.Context, count: int | None, seed: int, save: Path | None
) -> FuzzOptions | None:
    """Return the options of ``--fuzz``; None if the user did not give ``--fuzz``.

    ``count`` is the number of chains, ``seed`` that of the mutations, and ``save`` a new folder.

    Raises:
        click.UsageError: the client's command is missing, or options don't go together.
    """
    if count is not None:
        return fuzz_options(ctx, count, seed, save)
    for name in ("seed", "save"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} needs --fuzz N")
    if not ctx.params["command"]:
        raise click.MissingParameter(ctx=ctx, param_hint="'COMMAND...'", param_type="argument")
    return None


def _is_repeated(files: Iterable[Path | None]) -> bool:
    """Return True if two reports would be written to the same file: the options are then refused.

    ``files`` are the files of the reports; None for a report that is not wanted. A device, such as
    ``/dev/null``, doesn't count.
    """
    given = [file.resolve() for file in files if file and not file.is_char_device()]
    return len({*given}) < len(given)


def _refuse_if(problems: dict[str, object]) -> None:
    """Refuse options that don't go together.

    Args:
        problems: a map from each error message to a value that is true if the message applies.

    Raises:
        click.UsageError: a message applies.
    """
    for problem, applies in problems.items():
        if applies:
            raise click.UsageError(problem)


def _prepare_evidence(
    folder: Path, command: tuple[str, ...], sign_key: Path | None
) -> tuple[AttackedFiles, MinisignKey | None]:
    """Check that evidence can be written to a folder, and hash the files of the client.

    Call this function before the run. A run can be long, and the hashes show if the client's files
    change during it.

    Args:
        folder: the folder for the evidence.
        command: the command that starts the client, with the files to hash.
        sign_key: the file of the key that signs the evidence; None for no signature.

    Returns:
        The files of the client; and the key that signs the evidence, or None for no signature.

    Raises:
        ConfigError: the folder has other files, or the key can't be used.
    """
    from certpin.cli.options import ask_passphrase
    from certpin.lab.evidence.facts import AttackedFiles
    from certpin.lab.evidence.folder import check_place
    from certpin.lab.evidence.minisign import load_key

    check_place(folder)
    key = load_key(sign_key, ask_passphrase) if sign_key else None
    return AttackedFiles(command), key


def _default_route(command: tuple[str, ...]) -> str:
    """Return the default of ``--via``: the way in which the client reaches the lab.

    The result is ``port`` (directly) if the command contains a placeholder for the lab's address or
    port, else ``connect`` (through the lab's proxy).
    """
    named = any(name in word for word in command for name in _DIRECT)
    return "port" if named else "connect"


def check_placeholders(command: tuple[str, ...]) -> None:
    """Check that every placeholder in the client's command, such as ``{export:FORMAT}``, is known.

    Braces can also be part of the client's own arguments, such as code. So an unknown name in
    braces is refused only if it resembles a placeholder, and the argument that contains it has no
    white space, quotes or other marks of code.

    Raises:
        click.UsageError: a format of ``{export:FORMAT}`` is unknown, or a name in braces resembles
            a placeholder.
    """
    from certpin.formats import FORMATS
    from certpin.lab.client import SUBSTITUTIONS, exports_in

    for name in exports_in(command):
        if name not in FORMATS:
            problem = unknown("format", name, list(FORMATS), "`certpin export --list`")
            raise click.UsageError(f"{{export:{name[:80]}}}: {problem}")
    known = [*SUBSTITUTIONS, *(f"export:{name}" for name in FORMATS)]
    for word in filter(_PLAIN_WORD.fullmatch, command):
        for name in _BRACED.findall(word):
            if name not in known and (near := _near(name, known)):
                raise click.UsageError(
                    f"{{{name}}} is not a placeholder. Did you mean {{{near}}}?\n  fix: correct "
                    f"it; if the braces are the client's, write spaces into them: {{ {name} }}"
                )


def _near(name: str, known: list[str]) -> str:
    """Return the placeholder that the user may have meant by an unknown name in braces.

    Return an empty string if none is similar. ``known`` are the names of all placeholders.
    """
    from difflib import get_close_matches

    name = name.lower()
    begun = [each for each in known if name.startswith(each)]  # {cafile}, {hostname}
    near = get_close_matches(name, known, n=1, cutoff=0.8) or sorted(begun, key=len)[-1:]
    return next(iter(near or get_close_matches(name, known, n=1)), "")


def _check_program(name: str) -> None:
    """Check that the program of the client can be started.

    Raises:
        ConfigError: the program does not exist, or is not executable; or the name is a whole
            command, which no shell splits into words.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    words = name.split()
    if len(words) > 1 and not which(name) and which(words[0]):
        line = printable(" ".join(words))
        raise ConfigError(
            f"the command is one word: {printable(shlex.quote(name))}",
            key="COMMAND",
            fix=f"write its arguments as separate words, as in certpin prove -- {line}",
        )
    if "{" in name or which(name):  # a placeholder has its value during the run
        return
    if "/" not in name or not Path(name).is_file():
        place = "" if "/" in name else " in PATH"
        raise ConfigError(
            f"there is no program {printable(name)}{place}",
            key="COMMAND",
            fix="check its name, or give its path, as in ./client",
        )
    script = f"chmod +x {shlex.quote(name)}, or name its interpreter before it: python {name}"
    raise ConfigError(f"{printable(name)} is not executable", key="COMMAND", fix=printable(script))
