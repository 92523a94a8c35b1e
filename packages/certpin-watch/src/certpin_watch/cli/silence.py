"""``certpin watch silence``: send no messages about some alerts for a while."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json, say
from certpin_watch.cli.options import local_actor, require_database, watch_options

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.store.alerts import SilenceRow

_NEW = ("rule", "host", "length", "why", "who")  # the parameters of a new silence


@click.command()
@click.option("--rule", default="", help="Silence this rule; at all hosts, without --host.")
@click.option(
    "--host",
    default="",
    help="Only this host, exactly as in its alert; for all rules, without --rule.",
)
@click.option(
    "--for",
    "length",
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="How long, as in 30m, 2h, 1d; at most alerts.silence.",
)
@click.option(
    "--why", default="", metavar="TEXT", help="The reason, which is required for a new silence."
)
@click.option(
    "--who", default=None, metavar="NAME", help="Who is responsible; by default your login name."
)
@click.option("--end", type=int, metavar="NUMBER", help="End this silence now.")
@watch_options
@json_option
@click.pass_context
def silence(
    ctx: click.Context,
    watch: Watch,
    rule: str,
    host: str,
    length: str,
    why: str,
    who: str | None,
    end: int | None,
    as_json: bool,
) -> None:
    """Silence a rule, a host, or a rule at a host, for a while.

    Use it during planned work, and for a problem that you know.

    Without options: list the silences in force. Silenced alerts are recorded; if
    the problem remains when the silence ends, a message is sent.

    \b
    certpin watch silence --rule pin-mismatch --host api.bank.example --for 2h \\
      --why "renewal, ticket 12"
    certpin watch silence                    list them
    certpin watch silence --end 3

    Exit code 0: done. 1: there is no such silence. 2: usage, or a database that no service has run
    on. 3: the database is away, busy, or its disk full.
    """  # noqa: D301  # click reads the \b itself
    options = {parameter.name: parameter.opts[0] for parameter in ctx.command.params}
    given = [
        options[name]
        for name in _NEW
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given and end is not None:
        raise click.UsageError(f"{given[0]} is for a new silence: --end takes only a number")
    require_database(watch.store)
    if end is not None:
        ctx.exit(_end(watch, end, as_json=as_json))
    if given:
        person = who or local_actor().name.removeprefix("cli:")
        found = [_add(watch, (rule, host, person, why), length)]
    else:
        found = _list(watch)
    if as_json:
        print_json({"silences": [_silence_json(entry) for entry in found]})
    else:
        for entry in found:
            click.echo(fold(_silence_text(entry), sys.stdout))
        if not found:
            click.echo("There are no silences.")


def _add(watch: Watch, texts: tuple[str, str, str, str], length: str) -> SilenceRow:
    from certpin.errors import InputError
    from certpin.rotation import parse_duration
    from certpin_watch.alerts.silences import add_silence, host_warning
    from certpin_watch.store.accounts import audit
    from certpin_watch.store.alerts import SilenceRow

    rule, host, who, why = texts
    host = host.lower().rstrip(".")
    if not why.strip():
        raise InputError("a silence needs a reason", fix='--why "renewal, ticket 12"')
    now = watch.clock()
    until = now + parse_duration(length)
    if until - now < timedelta(minutes=1):
        raise InputError("that is too short", fix="at least 1m")
    since = int(now.timestamp())
    wanted = SilenceRow(rule, host, since, since + int((until - now).total_seconds()), who, why)
    if host and (warning := host_warning(host, watch.pin_files.snapshot())):
        say("certpin: warning", warning)
    with watch.store.write() as connection:
        made = add_silence(connection, wanted, watch.settings.alerts)
        about = f"{made.id}: {rule or 'every rule'} at {host or 'every host'}"
        audit(connection, local_actor(), "silence.made", about, at=now)
    return made


def _end(watch: Watch, number: int, *, as_json: bool) -> int:
    from certpin_watch.store.accounts import audit
    from certpin_watch.store.alerts import end_silence

    now = watch.clock()
    with watch.store.write() as connection:
        ended = end_silence(connection, number, int(now.timestamp()))
        if ended:
            audit(connection, local_actor(), "silence.ended", str(number), at=now)
    if as_json:
        print_json({"ended": ended})
    elif ended:
        click.echo(f"Silence {number} has ended.")
    else:
        fix = f"certpin watch silence{watch.settings.same_database}"
        say("certpin", f"no silence {number} is in force\n  fix: {fix}")
    return SUCCESS if ended else PROBLEM_FOUND


def _list(watch: Watch) -> list[SilenceRow]:
    from certpin_watch.store.alerts import silences_in_force

    with watch.store.read() as connection:
        now = int(watch.clock().timestamp())
        return list(silences_in_force(connection, now, watch.settings.alerts.silence))


def _silence_json(silence: SilenceRow) -> dict[str, object]:
    names = ("id", "rule", "host", "since", "until", "who", "why")
    return {name: getattr(silence, name) for name in names}


def _silence_text(silence: SilenceRow) -> str:
    from certpin.support.text import printable

    until = f"{datetime.fromtimestamp(silence.until, UTC):%Y-%m-%d %H:%M} UTC"
    about = " at ".join(filter(None, (silence.rule or "everything", silence.host)))
    return printable(f"#{silence.id} {about} until {until}: {silence.why} ({silence.who})")
