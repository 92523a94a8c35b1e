"""What people are told: one alert, or a digest of many; as text, Markdown and HTML. Pure."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from certpin.rotation.adoption import format_duration
from certpin_watch.alerts.state import worse
from certpin_watch.alerts.wording import command_line, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin_watch.alerts.state import Alert

Format = Literal["text", "markdown", "html"]
Kind = Literal["failure", "warning", "info", "success"]

_LONGEST_TITLE = 150
_LONGEST_HOST = 100
# How much is shown, the most first: services take from 1,000 characters on (Teams).
_SIZES = ((20, 600), (20, 250), (10, 150), (5, 80), (0, 80))
_KINDS: dict[str, Kind] = {"critical": "failure", "warning": "warning", "info": "info"}


@dataclass(frozen=True)
class Item:
    """Something that happened to an alert, with what was noted of it."""

    what: str
    alert: Alert
    note: str = ""


@dataclass(frozen=True)
class Message:
    """What a service is told at once. ``at`` is now; ``url`` leads to the pages, or is empty."""

    items: tuple[Item, ...]
    at: int
    url: str = ""

    @property
    def kind(self) -> Kind:
        """How it is shown, by the worst of it. What is over is a success."""
        there = [each.alert.severity for each in self.items if each.what != "resolved"]
        if not there:
            return "success"
        worst = there[0]
        for each in there:
            worst = each if worse(each, worst) else worst
        return _KINDS[worst]

    @property
    def title(self) -> str:
        """One line."""
        if len(self.items) == 1:
            (item,) = self.items
            return harmless(f"{_word(item)}: {_about(item.alert)}", _LONGEST_TITLE)
        words = Counter(_word(each) for each in self.items)
        counts = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
        return f"{len(self.items)} alerts: {counts}"[:_LONGEST_TITLE]


def render(message: Message, form: Format, room: int) -> str:
    """The message in at most ``room`` characters, if at all it can be said in so few."""
    texts = (_render(message, form, lines, longest) for lines, longest in _SIZES)
    text = ""
    for text in texts:
        if len(text) <= room:
            break
    return text


def link(alert: Alert, url: str) -> str:
    """Return the address of an alert's page, or an empty text if the address is not known."""
    return f"{url}/alerts/{alert.id}" if url and alert.id is not None else ""


def fields(message: Message) -> list[dict[str, Any]]:
    """Return the alerts of a message as fields, for programs.

    ``event`` is what happened (``opened``, ``repeated``, ``escalated``, ``resumed``, ``resolved``),
    ``state`` what the alert is now. Moments are RFC 3339, in UTC.
    """
    return [
        {
            "id": each.alert.id,
            "event": each.what,
            "rule": each.alert.rule,
            "severity": each.alert.severity,
            "state": each.alert.state,
            "host": each.alert.host,
            "pin_set": each.alert.pin_set,
            "summary": each.alert.summary,
            "command": each.alert.command,
            "clients": each.alert.clients,
            "opened_at": _rfc3339(each.alert.opened_at),
            "resolved_at": _rfc3339(each.alert.resolved_at),
            "acknowledged_by": each.alert.acknowledged_by,
            "url": link(each.alert, message.url),
        }
        for each in message.items
    ]


def _rfc3339(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def clients_words(clients: int | None, before: int | None = None) -> str:
    """How many clients are touched, and how many more than when it was last told."""
    if clients is None:
        return "How many clients it touches is not known."
    words = f"It touches about {clients:,} clients" if clients else "It touches no client yet"
    if before is not None and before != clients:
        words += f" ({before:,} when it was last told)"
    return words + "."


def _render(message: Message, form: Format, lines: int, longest: int) -> str:
    if len(message.items) == 1:
        blocks = list(_blocks(message, message.items[0], longest))
    else:
        blocks = list(_digest(message, lines, longest))
    return _FORMS[form](blocks)


# A block is a kind (words, command, item) and its text, which is harmless already.
_Block = tuple[Literal["words", "command", "item"], str]


def _blocks(message: Message, item: Item, longest: int) -> Iterator[_Block]:
    alert = item.alert
    yield "words", harmless(alert.summary, longest)
    yield "words", _since(alert, message.at)
    yield "words", harmless(item.note, 200) or clients_words(alert.clients)
    command = command_line(alert.command)
    if command and item.what != "resolved":
        yield "words", "What to do next:"
        yield "command", command
    if page := link(alert, message.url):
        yield "words", page


def _digest(message: Message, lines: int, longest: int) -> Iterator[_Block]:
    yield "words", "Many things happened at once. The worst come first:"
    ordered = _worst_first(message.items)
    for each in ordered[:lines]:
        text = f"{_word(each)}: {_about(each.alert)}: {each.alert.summary}"
        yield "item", harmless(text, longest)
    if len(ordered) > lines:
        yield "words", f"And {len(ordered) - lines} more."
    known = [each.alert.clients for each in ordered if each.alert.clients is not None]
    yield "words", clients_words(max(known) if known else None)
    yield "words", "What to do next:"
    yield "command", "certpin watch alerts"
    if message.url:
        yield "words", f"{message.url}/alerts"


def _worst_first(items: Sequence[Item]) -> list[Item]:
    rank = {"critical": 0, "warning": 1, "info": 2}
    return sorted(items, key=lambda each: (each.what == "resolved", rank[each.alert.severity]))


def _word(item: Item) -> str:
    return "resolved" if item.what == "resolved" else item.alert.severity


def _about(alert: Alert) -> str:
    about = alert.host or alert.pin_set
    return f"{alert.rule} at {about[:_LONGEST_HOST]}" if about else alert.rule


def _since(alert: Alert, now: int) -> str:
    end = alert.resolved_at if alert.resolved_at is not None else now
    lasted = format_duration(timedelta(seconds=max(0, end - alert.opened_at)))
    moment = f"{datetime.fromtimestamp(alert.opened_at, UTC):%Y-%m-%d %H:%M} UTC"
    over = "It was there" if alert.resolved_at is not None else "It is there"
    return f"{over} since {moment}, for {lasted}."


def _text(blocks: Sequence[_Block]) -> str:
    marks = {"words": "", "command": "    ", "item": "- "}
    return "\n".join(marks[kind] + text for kind, text in blocks)


def _markdown(blocks: Sequence[_Block]) -> str:
    """Items stand in a list, a command in a fence; all else is a paragraph."""
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
