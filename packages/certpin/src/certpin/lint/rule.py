"""The parts of a lint rule: its fields, its results, and the building blocks of its examples.

A rule is made from its check function: ``@partial(LintRule, …)`` is above the function, in the
module of the rule's family.

The examples of a rule are complete pin files, but with words in place of digests (``sha256/ONE``),
so that users can't copy a pin from the documentation. The tests replace the words by real digests.
Some words have a fixed meaning: ``LEAF``, ``INTERMEDIATE`` and ``ROOT`` are the keys in the chain
of the server that the ``live`` rules contact, and ``SET1`` to ``SET4`` those of the roots of Let's
Encrypt in the provider data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certpin.lint.document import LintDocument
    from certpin.support.sarif import Severity

Needs = Literal["file", "live", "exports"]


@dataclass(frozen=True)
class Hit:
    """One mistake that the check of a lint rule found in a pin file.

    Attributes:
        key: the full TOML key of the value with the mistake, such as ``host[2].expires``.
        message: the description of the mistake.
        fix: the fix for this mistake; if empty, the fix of the rule applies.
        line: the line to report; None to report the line of ``key``.
    """

    key: str
    message: str
    fix: str = ""
    line: int | None = None


@dataclass(frozen=True)
class LintRule:
    """One kind of mistake in a pin file, and the check that finds it.

    Attributes:
        id: the name of the rule, as in ``# certpin: allow``.
        severity: the severity of the mistake.
        check: a pure function that returns the mistakes, from the document and the time.
        summary: a sentence that describes the mistake.
        why: sentences that explain why it is one.
        fix: an instruction without a full stop.
        bad: an example of a pin file with the mistake. A test requires that the check finds exactly
            one mistake in it, at the line with the mark ``HERE``.
        good: the same example without the mistake.
        source: a document that confirms ``why``; may be empty.
        needs: the data without which the rule doesn't run: ``file`` (the pin file only), ``live``
            (the chains that servers presented), or ``exports`` (exported files).
        refuses: True if clients refuse to load a file with this mistake. No comment can allow it.
    """

    id: str
    severity: Severity
    check: Callable[[LintDocument, datetime], Iterable[Hit]]
    summary: str
    why: str
    fix: str
    bad: str
    good: str
    source: str = ""
    needs: Needs = "file"
    refuses: bool = False


@dataclass(frozen=True)
class LintFinding:
    """One mistake that a rule found, with its place in a pin file.

    The strings can quote the file, which can be hostile: escape them before printing.

    Attributes:
        rule: the ID of the rule.
        severity: the severity of the mistake.
        file: the path of the pin file.
        line: the line of the mistake, from 1.
        key: the full TOML key of the value with the mistake; empty for a mistake in a comment.
        host: the pattern of the policy; empty if the finding is about the whole file.
        message: the description of the mistake.
        fix: the instruction to fix it.
        allowed: the reason in a comment that allows the finding; empty if none allows it.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    key: str
    host: str
    message: str
    fix: str
    allowed: str = ""


# The time at which the examples are judged.
NOW = datetime(2027, 3, 1, tzinfo=UTC)
EXAMPLES = f"The examples write sha256/ONE and the like for pins, and are read on {NOW:%Y-%m-%d}."
HERE = "  # <- here"  # marks the line of the finding; removed before the example is read

HEAD = 'schema = 1\nname = "bank-app"\nversion = 12\n'
NAME = '\n[[host]]\nname = "api.bank.example"\n'
EXPIRES = "expires = 2027-09-01\n"
HOST = NAME + EXPIRES
FIRST = '\n[[host.pin]]\npin = "sha256/ONE"\nrole = "leaf"\n'
BACKUP = '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "backup"\nstate = "published"\n'
PINS = FIRST + BACKUP
GOOD = HEAD + HOST + PINS

SERVED = '\n[[host.pin]]\npin = "sha256/LEAF"\nrole = "leaf"\n'
AUTHORITY = '\n[[host.pin]]\npin = "sha256/INTERMEDIATE"\nrole = "intermediate"\n'
ROOT = '\n[[host.pin]]\npin = "sha256/ROOT"\nrole = "root"\n'
GOOD_LIVE = HEAD + HOST + SERVED + BACKUP
# All roots of Let's Encrypt: SET1 to SET4.
ROOT_SET = "".join(
    f'\n[[host.pin]]\npin = "sha256/SET{number}"\nrole = "root"\nprovider = "letsencrypt"\n'
    for number in range(1, 5)
)


def mark_header(part: str) -> str:
    """Return an example of a pin file, or a part of one, with the mark ``HERE``.

    The mark is after the first table header of ``part``. It shows the line at which the lint rule
    must find the mistake.
    """
    return part.replace("]]\n", f"]]{HERE}\n", 1)
