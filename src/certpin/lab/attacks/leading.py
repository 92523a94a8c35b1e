"""Honest servers that lead a client on, to the connection that is attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from certpin.lab.scenario import Answer, ServerStep


def lead(honest: ServerStep, answer: Answer) -> ServerStep:
    """Return an honest step that redirects. The step of a real server stays as it is."""
    return honest.but(answer=answer) if honest.key_pem else honest


def owned(honest: ServerStep) -> ServerStep:
    """Return the step if the lab has its key. Raises ``CannotServeError`` for a real server."""
    if not honest.key_pem:
        raise CannotServeError(
            "the honest server must do as the lab likes, and here a real one answers",
            fix="leave --upstream out, and give the client the lab's own pins",
        )
    return honest
