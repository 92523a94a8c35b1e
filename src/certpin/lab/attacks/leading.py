"""Honest servers that lead a client on, to the connection that is attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from certpin.lab.script import Act, Answer


def lead(honest: Act, answer: Answer) -> Act:
    """An honest act that redirects. A real server answers for itself: it stays as it is."""
    return honest.but(answer=answer) if honest.key_pem else honest


def owned(honest: Act) -> Act:
    """The act of an honest server that is the lab's. Raises ``CannotServeError`` for a real one."""
    if not honest.key_pem:
        raise CannotServeError(
            "the honest server must do as the lab likes, and here a real one answers",
            fix="leave --upstream out, and give the client the lab's own pins",
        )
    return honest
