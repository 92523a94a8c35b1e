"""``certpin lint``: find mistakes in a pin file, and explain how to fix them.

With ``--live``, connect to the servers of the pin file, as ``certpin check`` does. With
``--exported``, compare exported files with the pin file.
"""

from __future__ import annotations

import warnings
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from certpin.cli.check import check_targets, checkup_name, verdict_fix
from certpin.cli.choices import ADOPTION_DAYS, LINT_FORMATS, SEVERITIES
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS, unknown
from certpin.cli.options import (
    chain_fix,
    json_option,
    name_pin_file,
    pin_file_option,
    require_one_file,
    timeout_option,
)
from certpin.cli.reply import say, with_file
from certpin.cli.servers import server_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.cli.findings import LintedFile
    from certpin.cli.servers import ServerOptions
    from certpin.errors import PinFileError
    from certpin.formats import Export, Format, Source
    from certpin.lint import ExportedFile, LintDocument, LintReport, LiveResult, Severity
    from certpin.pins import PinSet
    from certpin.pins.policy import PolicyMeaning
    from certpin.probe.checkup import Checkup


@click.command()
@click.argument(
    "files", nargs=-1, metavar="[FILE]...", type=click.Path(dir_okay=False, path_type=Path)
)
@pin_file_option
@click.option("--live", is_flag=True, help="Also connect to the servers, from this machine.")
@server_options
@timeout_option
@click.option(
    "--exported",
    multiple=True,
    metavar="FORMAT[:HOST,...]=PATH",
    help="Compare this exported file with the pin file; with hosts, if it has only these (--host "
    "of certpin export). May be repeated.",
)
@click.option(
    "--adoption-days",
    type=click.IntRange(min=0, max=36500),
    metavar="DAYS",
    default=ADOPTION_DAYS,
    show_default=True,
    help="How long your slowest clients take to get a new pin set.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default="error",
    show_default=True,
    help="The lowest severity for which the exit code is 1.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(LINT_FORMATS),
    default="text",
    show_default=True,
    help="The output: sarif for code scanning, github for annotations of a pull request.",
)
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    files: tuple[Path, ...],
    path: Path,
    live: bool,
    servers: ServerOptions,
    timeout: float,
    exported: tuple[str, ...],
    adoption_days: int,
    fail_on: Severity,
    output: str,
    as_json: bool,
) -> None:
    """Find mistakes in a pin file that lock users out or expose them.

    Run it before each commit, and in CI.

    Reports all mistakes of each FILE (pins.toml by default) at once, even if no client would load
    the file. With --live, it also connects to the hosts and judges the chains that they serve:
    whether a pin matches, whether a backup is outside the chain, and when certificates expire. A
    comment in the file allows a finding: # certpin: allow RULE because REASON.

    --json is short for --format json. certpin explain RULE explains a mistake.

    \b
    certpin lint
    certpin lint --live --host api.bank.example
    certpin lint --format sarif > lint.sarif

    Exit code 0: no finding of the severity of --fail-on or worse. 1: such a finding. 2: a file
    cannot be read at all; its error and the findings of the other files are printed. 3: no such
    finding, but with --live no host answered.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.findings import FORMATS, LintedFile
    from certpin.errors import PinFileError
    from certpin.lint import lint as judge
    from certpin.lint import load_document
    from certpin.pins import utc_now

    if servers.given and not live:
        raise click.UsageError("--host, --connect and --starttls are for --live")
    require_one_file(ctx, next(iter(files), None))
    now = utc_now()
    done, unread = [], []
    for file in files or (path,):
        name_pin_file(ctx, file)
        try:
            document = load_document(file, adoption_days=adoption_days)
        except PinFileError as exc:
            error = _with_command(file, exc)
            unread.append((file, error))
            done.append(_unread_file(file, error))
            continue
        document = replace(document, exported=gather_exports(exported, document.pins))
        if live:
            document = probe_hosts(document, servers, now, timeout)
        done.append(LintedFile(document, _with_file(judge(document, now))))
    name_pin_file(ctx, None)  # the commands of each finding name their file now
    FORMATS["json" if as_json else output](done)
    if unread:
        file, error = unread[0]
        name_pin_file(ctx, file)
        raise error
    ctx.exit(_exit_code(done, fail_on))


def _with_command(path: Path, exc: PinFileError) -> PinFileError:
    """Return the error to print for a file that isn't TOML.

    If the file is not a pin file, but the source of an app or a file of another platform, the
    returned error says so, and its fix is the ``certpin import`` command for the file. Otherwise
    the result is ``exc``.

    Args:
        path: the file.
        exc: the error of the reader of pin files.
    """
    from certpin.apps.commands import format_command, language_of
    from certpin.errors import PinFileError
    from certpin.support.text import printable

    if not path.is_file():
        return exc
    if language := language_of(str(path)):
        problem = "this is the source of an app, not a pin file"
        fix = f"look for mistakes in it: certpin import {language} --check {quote(str(path))}"
    elif command := format_command(str(path)):
        problem = "this is a file of another platform, not a pin file"
        fix = f"import its pins: {command}"
    else:
        return exc
    return PinFileError(problem, path=exc.path, fix=printable(fix))


def _unread_file(path: Path, exc: PinFileError) -> LintedFile:
    """Return a file that can't be read at all, with the error ``exc`` as its only finding."""
    from certpin.cli.findings import LintedFile
    from certpin.lint import RULES, LintDocument, LintFinding, LintReport

    rule = RULES["refused"]
    finding = LintFinding(
        rule=rule.id,
        severity=rule.severity,
        file=str(path),
        line=exc.line or 1,
        key=exc.key,
        host="",
        message=exc.problem,
        fix=exc.fix or rule.fix,
    )
    return LintedFile(LintDocument(str(path), "", {}), _with_file(LintReport((finding,), ())))


def _with_file(report: LintReport) -> LintReport:
    """Return a copy of a report in which the commands of each fix name the pin file."""
    findings, allowed = (
        tuple(replace(finding, fix=with_file(finding.fix)) for finding in some)
        for some in (report.findings, report.allowed)
    )
    return replace(report, findings=findings, allowed=allowed)


def _exit_code(done: Sequence[LintedFile], fail_on: Severity) -> int:
    if any(linted.report.at_least(fail_on) for linted in done):
        return PROBLEM_FOUND
    return INCONCLUSIVE if any(_none_answered(linted.document) for linted in done) else SUCCESS


def _none_answered(document: LintDocument) -> bool:
    return document.live is not None and all(result.error for result in document.live)


def probe_hosts(
    document: LintDocument, servers: ServerOptions, now: datetime, timeout: float
) -> LintDocument:
    """Contact the hosts of a pin file; return the document with the chains that they serve.

    If the file is invalid, so that clients refuse it, no host is contacted: the document is
    returned unchanged, with a warning on standard error.

    Args:
        document: the parsed pin file, as ``certpin lint`` checks it.
        servers: the options that name the servers.
        now: the current time.
        timeout: seconds for each step of a connection.

    Raises:
        click.UsageError: an option names a host that is not contacted.
    """
    if document.pins is None:
        say(
            "certpin: warning",
            f"{document.path}: no host was contacted, because no client loads the file",
        )
        return document
    checkups = check_targets(servers.targets(document.pins), now, 0, timeout)
    return replace(document, live=tuple(map(_live_result, checkups)))


def _live_result(checkup: Checkup) -> LiveResult:
    from certpin.errors import StartTLSError
    from certpin.lint import LiveResult

    pattern = str(checkup.policy.pattern)
    asked = LiveResult(pattern, checkup_name(checkup), server=_server_index(checkup))
    if error := checkup.error:
        insecure = isinstance(error, StartTLSError) and error.insecure
        return replace(asked, error=error.problem, fix=error.fix, insecure=insecure)
    if checkup.observation is None:
        return replace(asked, error="no answer")
    observation = checkup.observation
    asked = replace(asked, served=observation.served.certificates)
    if observation.verified:
        path = observation.verified.certificates
        return replace(asked, path=path, fix=_mismatch_fix(checkup))
    fix = checkup.fix or chain_fix(observation, pinned=True)
    return replace(asked, problem=checkup.findings[0], fix=fix)


def _mismatch_fix(checkup: Checkup) -> str:
    """Return the advice of ``certpin check`` for a chain without a pin, or with a compromised key.

    ``checkup`` is the result of comparing the server's verified chain with its pins. Return an
    empty text for a different result, such as expired pins, which have their own rule.
    """
    if checkup.verdict is None or checkup.verdict.reason not in {"mismatch", "compromised-key"}:
        return ""
    return verdict_fix(checkup)


def _server_index(checkup: Checkup) -> int | None:
    """Return the index of the contacted server in the host's policy; None if it is not listed.

    With the index, a finding names the line of the server in the pin file. ``checkup`` is the
    result of comparing the server's chain with its pins.
    """
    from certpin.probe import endpoint_at

    policy, endpoint = checkup.policy, checkup.endpoint
    for index, server in enumerate(policy.servers):
        name = server.name_for(policy.pattern)
        if endpoint is None or name != endpoint.host:
            continue
        if endpoint_at(name, server).server == endpoint.server:
            return index
    return None


def gather_exports(named: Sequence[str], pins: PinSet | None) -> tuple[ExportedFile, ...] | None:
    """Compare each exported file that ``--exported`` names with the current pin set.

    Args:
        named: the values of ``--exported``, each ``FORMAT=PATH`` or ``FORMAT:HOST,HOST=PATH``.
        pins: the pin set; None if the pin file is invalid, so that clients refuse it.

    Returns:
        One comparison for each file. None if no file is named, or if ``pins`` is None.

    Raises:
        click.UsageError: a value does not have one of the two forms, or names an unknown format.
    """
    asked = [_asked(text) for text in named]
    if not asked or pins is None:
        return None
    return tuple(_compare(chosen, hosts, path, pins) for chosen, hosts, path in asked)


def _asked(text: str) -> tuple[Format, list[str], str]:
    """Return the format, the hosts and the file path in ``text``, a value of ``--exported``.

    The list of hosts is empty if the value names none. Raises ``click.UsageError`` if the value is
    not ``FORMAT=PATH`` or ``FORMAT:HOST,…=PATH``, or certpin doesn't have the format.
    """
    from certpin.formats import FORMATS

    left, equals, path = text.partition("=")
    if not equals or not path:
        raise click.UsageError(f"--exported {text!r} is not FORMAT=PATH")
    name, colon, hosts = left.partition(":")
    if name not in FORMATS:
        raise click.UsageError(unknown("format", name, list(FORMATS), "`certpin export --list`"))
    return FORMATS[name], hosts.split(",") if colon else [], path


def _compare(chosen: Format, hosts: list[str], path: str, pins: PinSet) -> ExportedFile:
    from certpin.errors import ConfigError, InputError
    from certpin.lint import ExportedFile

    try:
        source = _source(chosen, path)
        actual, altered = _load(chosen, source)
        made = _exported_now(chosen, pins, hosts, actual)
    except (ConfigError, InputError) as exc:
        return ExportedFile(chosen.name, path, problem=exc.problem)
    unreadable = _unreadable(chosen, source.data)
    differences = [*unreadable, *_differences(made.pins, actual), *altered]
    if not differences and chosen.settings:
        [expected] = chosen.settings(made.files[0].text)
        # Without a connection that has the pins or their anchors, all settings are missing.
        for found in chosen.settings(source.text) or [set()]:
            differences += _changed_settings(expected, found)
    return ExportedFile(chosen.name, path, differences=tuple(differences))


def _source(chosen: Format, path: str) -> Source:
    from certpin.cli.source import read_source

    folder = Path(path)
    return read_source(str(folder / chosen.file) if folder.is_dir() else path)


def _load(chosen: Format, source: Source) -> tuple[PinSet, list[str]]:
    """Return the pin set in an exported file, and a phrase for each setting that can't be imported.

    ``chosen`` is the format of the file, and ``source`` the file. No export contains such a
    setting. So the file was changed after its export, and each phrase says that.
    """
    from certpin.formats.parsed import FormatWarning, UnrelatedWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        actual = chosen.load(source)
    skipped = [
        str(each.message).removeprefix("not imported: ")
        for each in caught
        if issubclass(each.category, FormatWarning)
        and not issubclass(each.category, UnrelatedWarning)
    ]
    return actual, [f"it was changed: {each}" for each in skipped]


def _unreadable(chosen: Format, data: bytes) -> Iterator[str]:
    """Yield a phrase for a byte order mark, and for line ends CR LF, that the platform refuses.

    An editor or a git checkout adds them to an exported file. certpin can still import the file,
    but the platform's program does not load it. Nothing is yielded for formats that allow them.

    Args:
        chosen: the format.
        data: the content of the exported file.
    """
    if chosen.refuses_bom and data.startswith(BOM_UTF8):
        yield f"it begins with a byte order mark, so {chosen.name} refuses it: save it without one"
    if chosen.refuses_crlf and b"\r\n" in data:
        advice = f"write *{Path(chosen.file).suffix} text eol=lf into .gitattributes"
        yield f"its line ends are CR LF, so {chosen.name} refuses it: {advice}"


def _exported_now(chosen: Format, pins: PinSet, hosts: list[str], actual: PinSet) -> Export:
    """Return a new export of the current pin set, to compare it with an existing exported file.

    Args:
        chosen: the format. If a file of this format can hold only one host, and the user named
            none, only the host of the existing file is exported.
        pins: the current pin set.
        hosts: the hosts that the user named; empty for all.
        actual: the pin set in the existing file.
    """
    from certpin.formats import only

    if _is_for_one_host(chosen) and not hosts:
        hosts = [str(policy.pattern) for policy in actual.policies]
    return chosen.export(_with_anchors_of(actual, only(pins, hosts), chosen))


def _is_for_one_host(chosen: Format) -> bool:
    from certpin.formats.limits import OneHost

    return any(isinstance(limit, OneHost) for limit in chosen.limits)


def _with_anchors_of(actual: PinSet, pins: PinSet, chosen: Format) -> PinSet:
    """Add certificates of pinned authorities from an exported file to the current pin set.

    Some formats need these certificates as trust anchors. The pin file doesn't contain them,
    because ``certpin export --ca-file`` took them from another file. So they are read from the
    exported file. For a format that doesn't need them, return the current pin set unchanged.

    Args:
        actual: the pin set in the exported file.
        pins: the current pin set.
        chosen: the format.
    """
    from certpin.formats.limits import AnchorsOnly, LeafOrAnchors, with_anchors
    from certpin.x509 import Certificate

    if not any(isinstance(limit, (LeafOrAnchors, AnchorsOnly)) for limit in chosen.limits):
        return pins
    existing = {policy.pattern: policy.trust.der for policy in actual.policies if policy.trust}
    policies = []
    for policy in pins.policies:
        certificates = [Certificate.from_der(der) for der in existing.get(policy.pattern, ())]
        policies.append(with_anchors(policy, certificates, "the exported file")[0])
    return replace(pins, policies=tuple(policies))


def _changed_settings(expected: set[str], found: set[str]) -> Iterator[str]:
    """Yield a phrase for each setting in which an exported file differs from a new export.

    ``expected`` are the settings in a new export, and ``found`` those in the file, as lines.
    """
    for setting in sorted(expected - found):
        yield f"it was changed: the line {setting!r} is missing"
    for setting in sorted(found - expected):
        yield f"it was changed: the line {setting[:200]!r} was added"


def _differences(expected: PinSet, actual: PinSet) -> Iterator[str]:
    from certpin.pins.policy import meaning

    if expected.version != actual.version:
        yield f"it has version {actual.version}, and the pin file has version {expected.version}"
    right, found = meaning(expected), meaning(actual)
    for host in right.policies.keys() - found.policies.keys():
        yield f"{host} is missing"
    for host in found.policies.keys() - right.policies.keys():
        yield f"{host} is not in the pin file, or can't be exported"
    for host in sorted(right.policies.keys() & found.policies.keys()):
        yield from _host_differences(host, right.policies[host], found.policies[host])
    if right.debug != found.debug:
        yield "its debug section differs"


def _host_differences(host: str, right: PolicyMeaning, found: PolicyMeaning) -> Iterator[str]:
    for pin in sorted(map(str, right.pins - found.pins)):
        yield f"{host}: {pin} is missing"
    for pin in sorted(map(str, found.pins - right.pins)):
        yield f"{host}: {pin} is not in the pin file, or is no longer accepted"
    for pin in sorted(map(str, right.compromised - found.compromised)):
        yield f"{host}: {pin} is compromised, and the exported file does not refuse it"
    for pin in sorted(map(str, found.compromised - right.compromised)):
        yield f"{host}: the exported file refuses {pin}, which is not compromised in the pin file"
    found = _without_own_rule(right, found)
    for name in right._replace(pins=found.pins, compromised=found.compromised).differing(found):
        yield f"{host}: {name} differs"


def _without_own_rule(right: PolicyMeaning, found: PolicyMeaning) -> PolicyMeaning:
    """Return the policy in an exported file, without a rule that the app's developers can add.

    An Android app can require Certificate Transparency of a host even if the pin file doesn't.
    ``certpin lint`` must not report this as a difference.

    Args:
        right: the policy in the pin file.
        found: the policy in the exported file.
    """
    from certpin.x509.log_list import PLATFORM_LOGS

    if right.ct_logs is None and found.ct_logs == PLATFORM_LOGS.digest:
        return found._replace(ct_logs=None)
    return found
