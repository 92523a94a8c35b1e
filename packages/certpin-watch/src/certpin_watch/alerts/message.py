"""The text of a message about one alert or many (a digest), as text, Markdown or HTML. No I/O.

Texts that come from the network can't act as markup in mail, chats and pagers. A report can contain
``<!channel>``, ``@everyone``, ``[the page](https://evil.example)`` or HTML: the characters that a
service interprets are replaced by similar ones. Not prevented: a mail program can turn a bare name
such as ``evil.example`` into a link.
"""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from certpin.support.text import format_duration, printable
from certpin_watch.settings import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin_watch.store.alerts import AlertRow

Format = Literal["text", "markdown", "html"]
Kind = Literal["failure", "warning", "info", "success"]

_MAX_TITLE = 150  # characters, as all of these
_MAX_HOST = 100
_MAX_NOTE = 200
_MAX_COMMAND = 300
# Items and characters of each, the most first: the smallest limit is 1,000 characters (Teams).
_SIZES = ((20, 600), (20, 250), (10, 150), (5, 80), (0, 80))
_KINDS: dict[str, Kind] = {"critical": "failure", "warning": "warning", "info": "info"}

# Similar characters without a meaning: for markup, mentions (Slack, Teams, Discord), code.
_IN_CODE: dict[str, str | int | None] = {
    "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
    ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    "@": "\N{FULLWIDTH COMMERCIAL AT}",
    "`": "\N{PRIME}",
}
_ELSEWHERE = _IN_CODE | {
    "*": "\N{ASTERISK OPERATOR}",
    "|": "\N{BROKEN BAR}",
    "~": "\N{TILDE OPERATOR}",
}
_LINKS = (("://", "[:]//"), ("](", "] ("))

# A block is a kind and its harmless text.
_Block = tuple[Literal["words", "command", "item"], str]


@dataclass(frozen=True)
class Item:
    """An event of an alert in a message.

    ``what`` is the event, such as "opened" or "resolved"; ``note`` is an additional sentence about
    it, or empty.
    """

    what: str
    alert: AlertRow
    note: str = ""


@dataclass(frozen=True)
class Message:
    """A message about one or more events of alerts.

    Attributes:
        items: the events.
        at: the time of the message, in Unix seconds.
        url: the base address of the web pages, or empty.
    """

    items: tuple[Item, ...]
    at: int
    url: str = ""

    @property
    def kind(self) -> Kind:
        """The type of the message for apprise: "failure", "warning", "info" or "success".

        The type depends on the worst severity of the alerts that are not resolved. If all alerts
        are resolved, the type is "success".
        """
        present = [item.alert.severity for item in self.items if item.what != "resolved"]
        return _KINDS[min(present, key=SEVERITIES.index)] if present else "success"

    @property
    def title(self) -> str:
        """The title, in one line: status, rule and host of the alert.

        The status is "resolved", or the severity of an alert that is not resolved. If the message
        is about several alerts, the title has the number of alerts with each status.
        """
        if len(self.items) == 1:
            (item,) = self.items
            return harmless(f"{_status(item)}: {_about(item.alert)}", _MAX_TITLE)
        words = Counter(_status(item) for item in self.items)
        counts = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
        return f"{len(self.items)} alerts: {counts}"[:_MAX_TITLE]


def render(message: Message, form: Format, room: int) -> str:
    """Return a message as text of at most ``room`` characters.

    To fit, alerts and parts of their texts are left out. If even the shortest text is longer than
    ``room``, this longer text is returned.

    Args:
        message: the message.
        form: "text", "markdown" or "html".
        room: the maximum number of characters.
    """
    text = ""
    for items, longest in _SIZES:
        text = _render(message, form, items, longest)
        if len(text) <= room:
            break
    return text


def message_json(message: Message) -> list[dict[str, Any]]:
    """Return the events in a message as JSON values, for webhooks and logs.

    The member ``event`` is the event, such as ``opened`` or ``resolved``; ``state`` is the current
    state of the alert. Times are RFC 3339, in UTC.
    """
    return [
        {
            "id": item.alert.id,
            "event": item.what,
            "rule": item.alert.rule,
            "severity": item.alert.severity,
            "state": item.alert.state,
            "host": item.alert.host,
            "pin_set": item.alert.pin_set,
            "summary": item.alert.summary,
            "command": item.alert.command,
            "clients": item.alert.clients,
            "opened_at": _rfc3339(item.alert.opened_at),
            "resolved_at": _rfc3339(item.alert.resolved_at),
            "acknowledged_by": item.alert.acknowledged_by,
            "url": link(item.alert, message.url),
        }
        for item in message.items
    ]


def link(alert: AlertRow, url: str) -> str:
    """Return the address of an alert's page; empty if ``url``, the base address, is empty."""
    return f"{url}/alerts/{alert.id}" if url and alert.id is not None else ""


def clients_text(clients: int | None, before: int | None = None) -> str:
    """Return a sentence with the number of affected clients.

    Args:
        clients: the current number; None if it is unknown.
        before: the number in the previous message about the alert; None if it is unknown, or there
            is no such message. If both numbers are known and differ, the sentence contains both.
    """
    if clients is None:
        return "The number of affected clients is unknown."
    if clients == 0:
        text = "No clients are affected yet"
    else:
        text = f"About {clients:,} {'client is' if clients == 1 else 'clients are'} affected"
    if before is not None and before != clients:
        text += f" ({before:,} in the last message)"
    return text + "."


def harmless(text: str, limit: int) -> str:
    """Return a text as one line of at most ``limit`` characters that no service shows as markup.

    Characters that mail, chats and pagers act on, as in HTML, links and mentions, are replaced by
    similar ones. A longer text is cut.
    """
    line = printable(" ".join(text[: 4 * limit].split()))
    plain = line.translate(str.maketrans(_ELSEWHERE))
    for sign, instead in _LINKS:
        plain = plain.replace(sign, instead)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def command_line(text: str) -> str:
    """Return the shell command that an alert suggests, with characters that act as markup replaced.

    The characters are those that have an effect even in text that is marked as code. If the command
    is too long for a message, return an empty text. The command is never shortened, because a
    shortened command would do something else.
    """
    plain = printable(text).translate(str.maketrans(_IN_CODE))
    return plain if len(plain) <= _MAX_COMMAND else ""


def _render(message: Message, form: Format, items: int, longest: int) -> str:
    if len(message.items) == 1:
        blocks = list(_single(message, message.items[0], longest))
    else:
        blocks = list(_digest(message, items, longest))
    return _FORMS[form](blocks)


def _single(message: Message, item: Item, longest: int) -> Iterator[_Block]:
    alert = item.alert
    yield "words", harmless(alert.summary, longest)
    yield "words", _duration(alert, message.at)
    yield "words", harmless(item.note, _MAX_NOTE) or clients_text(alert.clients)
    command = command_line(alert.command)
    if command and item.what != "resolved":
        yield "words", "What to do next:"
        yield "command", command
    if page := link(alert, message.url):
        yield "words", page


def _digest(message: Message, items: int, longest: int) -> Iterator[_Block]:
    yield "words", "Several alerts, the most severe first:"
    ordered = sorted(
        message.items,
        key=lambda item: (item.what == "resolved", SEVERITIES.index(item.alert.severity)),
    )
    for item in ordered[:items]:
        text = f"{_status(item)}: {_about(item.alert)}: {item.alert.summary}"
        yield "item", harmless(text, longest)
    if len(ordered) > items:
        yield "words", f"And {len(ordered) - items} more."
    known = [item.alert.clients for item in ordered if item.alert.clients is not None]
    yield "words", clients_text(max(known) if known else None)
    yield "words", "What to do next:"
    yield "command", "certpin watch alerts"
    if message.url:
        yield "words", f"{message.url}/alerts"


def _status(item: Item) -> str:
    return "resolved" if item.what == "resolved" else item.alert.severity


def _about(alert: AlertRow) -> str:
    about = alert.host or alert.pin_set
    return f"{alert.rule} at {about[:_MAX_HOST]}" if about else alert.rule


def _duration(alert: AlertRow, now: int) -> str:
    end = alert.resolved_at if alert.resolved_at is not None else now
    length = format_duration(timedelta(seconds=max(0, end - alert.opened_at)))
    since = f"{datetime.fromtimestamp(alert.opened_at, UTC):%Y-%m-%d %H:%M} UTC"
    state = "Was open" if alert.resolved_at is not None else "Open"
    return f"{state} since {since} ({length})."


def _rfc3339(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(blocks: Sequence[_Block]) -> str:
    marks = {"words": "", "command": "    ", "item": "- "}
    return "\n".join(marks[kind] + text for kind, text in blocks)


def _markdown(blocks: Sequence[_Block]) -> str:
    """Return the blocks of a message (pairs of kind and text) as Markdown.

    Blocks of the kind "item" become a list, commands fenced code, and all others paragraphs.
    """
    found = []
    for kind, text in blocks:
        if kind == "command":
            found.append(f"```\n{text}\n```\n")
        else:
            found.append(f"- {text}" if kind == "item" else f"{text}\n")
    return "\n".join(found).strip()


def _html(blocks: Sequence[_Block]) -> str:
    tags = {"words": "p", "command": "pre", "item": "li"}
    return "".join(f"<{tags[k]}>{html.escape(text)}</{tags[k]}>" for k, text in blocks)


_FORMS = {"text": _text, "markdown": _markdown, "html": _html}
