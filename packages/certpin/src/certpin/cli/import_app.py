"""``certpin import dart``: import the pins in an app's source, and report its mistakes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.choices import LINT_FORMATS, PROBE_SECONDS, SEVERITIES
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import (
    anchors_pem,
    ca_file_option,
    chain_fix,
    option_group,
    timeout_option,
)

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.apps.draft import Draft
    from certpin.apps.languages import Language
    from certpin.cli.app_result import AppResult
    from certpin.cli.servers import ProbeTarget
    from certpin.pins import Mode
    from certpin.support.sarif import Severity


@dataclass(frozen=True)
class AppOptions:
    """The options of ``certpin import`` that apply only to the source of an app."""

    check: bool
    live: bool
    connects: tuple[str, ...]
    ca_file: Path | None
    timeout: float
    pin_keys: bool
    fail_on: Severity
    output: str

    @property
    def given(self) -> str:
        """The first app-only option that the user gave, such as ``--live``; empty if there is none.

        If the user imports the file of a platform instead of an app, the error names this option.
        """
        values = {
            "--check": self.check,
            "--live": self.live,
            "--connect": bool(self.connects),
            "--ca-file": self.ca_file is not None,
            "--timeout": self.timeout != PROBE_SECONDS,
            "--pin-keys": self.pin_keys,
            "--fail-on": self.fail_on != "error",
            "--format": self.output != "text",
        }
        return next((option for option, given in values.items() if given), "")


app_options = option_group(
    "app",
    (
        click.option(
            "--check", is_flag=True, help="dart: only report the mistakes, and write nothing."
        ),
        click.option(
            "--live",
            is_flag=True,
            help="dart: connect to the hosts, set the roles of the pins that they present, and "
            "print for each pin whether it is presented.",
        ),
        click.option(
            "--connect",
            "connects",
            multiple=True,
            metavar="[HOST=]ADDRESS[:PORT]",
            help="For --live: connect to this address for that host, or for all. May be repeated.",
        ),
        ca_file_option,
        timeout_option,
        click.option(
            "--pin-keys",
            is_flag=True,
            help="With --live: instead of the fingerprint of a whole certificate that the server "
            "presents, write the pin of its key, which stays valid after a renewal.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice(SEVERITIES),
            default="error",
            show_default=True,
            help="dart: the lowest severity of a mistake for which the exit code is 1.",
        ),
        click.option(
            "--format",
            "output",
            type=click.Choice(LINT_FORMATS),
            default="text",
            show_default=True,
            help="dart: the output. sarif and github contain the mistakes only.",
        ),
    ),
    AppOptions,
)


@dataclass(frozen=True)
class AppRequest:
    """The request of one ``certpin import`` of an app: what to read, where to write, and options.

    Attributes:
        language: the language of the app.
        paths: the files and folders of the app.
        pin_file: the pin file, which may not exist yet.
        name: the name of a new pin set; None to name it after the first host.
        hosts: the hosts for pins that the code assigns to no host.
        mode: ``enforce`` or ``report``, for all hosts; None for ``enforce``.
        options: the options that apply only to apps.

    Raises:
        click.UsageError: options exclude each other.
    """

    language: Language
    paths: tuple[str, ...]
    pin_file: Path
    name: str | None
    hosts: tuple[str, ...]
    mode: Mode | None
    options: AppOptions

    def __post_init__(self) -> None:
        options = self.options
        # --host has no effect with --check: the same command may be used with and without it.
        if options.check and (self.name or self.mode or options.live):
            raise click.UsageError("--check writes nothing: leave out --name, --mode and --live")
        if (options.connects or options.ca_file or options.pin_keys) and not options.live:
            raise click.UsageError("--connect, --ca-file and --pin-keys need --live")


def import_app(ctx: click.Context, request: AppRequest, *, as_json: bool) -> None:
    """Read an app, write its pins into the pin file, and print the result with the mistakes.

    A mistake is a fault in the app's source, such as a callback that accepts every certificate. It
    doesn't prevent the import, but sets the exit code. Mistakes are printed even if the import is
    refused. ``request`` is the request of the user.

    Raises:
        click.UsageError: ``--json`` and another format are asked for.
        CertpinError: the app can't be read; or the import is refused, for example because a host
            has a single pin, or already has another policy in the pin file. Nothing was written.
    """
    from certpin.apps.project import read_project
    from certpin.cli.app_result import FORMATS, AppResult, warn
    from certpin.cli.reply import progress
    from certpin.errors import CertpinError
    from certpin.pins import utc_now

    if as_json and request.options.output not in {"text", "json"}:
        raise click.UsageError(f"--json and --format {request.options.output} exclude each other")
    now = utc_now()
    show = partial(progress, word="reading")
    result = AppResult(
        request.language.name,
        read_project(request.paths, request.language, now, show),
        importing=not request.options.check,
    )
    warn(result)
    write = FORMATS["json" if as_json else request.options.output]
    if not request.options.check:
        try:
            _import(result, request, now)
        except CertpinError:
            write(result)
            raise
    write(result)
    ctx.exit(_exit_code(result, request.options.fail_on))


def _import(result: AppResult, request: AppRequest, now: datetime) -> None:
    """Write the pins of an app into the pin file.

    ``request`` is the request of the user. With ``--live``, first compare the pins with the chains
    that servers present. The written hosts, and the results of the comparison, are stored in
    ``result``.
    """
    from certpin.apps.merge import draft_policies
    from certpin.cli.app_result import warn_dropped
    from certpin.cli.import_hosts import HostImport
    from certpin.pinfile.file import changing

    roots = [os.path.normpath(path) for path in request.paths if Path(path).is_absolute()]
    draft = draft_policies(result.project.findings, request.hosts, roots)
    warn_dropped(draft)
    result.draft = draft
    if request.options.live:
        _compare(result, draft, request.options, now)
    if request.options.pin_keys:
        for host in draft.hosts.values():
            host.pin_keys()
    pins = draft.pin_set(request.name or "", request.mode or "enforce")
    key_types = {
        pin.pin: pin.key_type
        for host in draft.hosts.values()
        for pin in host.pins.values()
        if pin.key_type and not pin.presented
    }
    named = request.name is not None
    with changing(request.pin_file):
        imported = HostImport(request.pin_file, pins, named=named, key_types=key_types)
        imported.save()
    result.imported = imported


def _compare(result: AppResult, draft: Draft, options: AppOptions, now: datetime) -> None:
    """Connect to the hosts of an app, and compare each verified chain with the app's pins.

    ``options`` are the options that apply only to apps. ``draft`` has the pins that the app's
    source contains, by host. Whether a chain matches a pin is stored in ``draft``. The contacted
    hosts, with their problems and fixes, are stored in ``result``.
    """
    from certpin.cli.check import check_targets
    from certpin.cli.servers import ServerOptions

    targets = ServerOptions((), options.connects, ()).targets(draft.pin_set("", "report"))
    for checkup in check_targets(_trusting(targets, options.ca_file), now, 0, options.timeout):
        pattern = str(checkup.policy.pattern)
        seen = checkup.observation
        if seen is not None and seen.verified is not None:
            draft.hosts[pattern].compare(seen.verified)
            result.live.setdefault(pattern, "")
        elif seen is not None:
            result.live[pattern] = f"the chain did not verify: {seen.problem}"
            result.live_fixes[pattern] = chain_fix(seen, pinned=True)
        else:
            result.live[pattern] = checkup.error.problem if checkup.error else "no answer"
            result.live_fixes[pattern] = checkup.error.fix if checkup.error else ""


def _trusting(targets: list[ProbeTarget], ca_file: Path | None) -> list[ProbeTarget]:
    """Return servers, with policies that trust only the authorities in ``ca_file``.

    With these policies, ``--live`` verifies the chains of the servers. ``targets`` are the servers,
    each with the policy of its host. If ``ca_file`` is None, return them unchanged.

    Raises:
        CertificateParseError: the file can't be read, or has no certificates.
    """
    from certpin.pins import TrustAnchors

    pem = anchors_pem(ca_file)
    if pem is None:
        return targets
    anchors = TrustAnchors.parse(pem.encode())
    return [(replace(policy, trust=anchors), endpoint) for policy, endpoint in targets]


def _exit_code(result: AppResult, fail_on: Severity) -> int:
    if result.report.at_least(fail_on) or result.mismatches:
        return PROBLEM_FOUND
    return INCONCLUSIVE if result.incomplete else SUCCESS
