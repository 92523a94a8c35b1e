"""Why a report is not taken: what HTTP says of it, and what whoever sent it can do."""

from __future__ import annotations

from http import HTTPStatus

from certpin.errors import CertpinError


class RefusedError(CertpinError):
    """An answer of 4xx or 503. ``retry`` is in seconds, 0 where trying again cannot help."""

    def __init__(self, status: HTTPStatus, problem: str, fix: str, retry: int = 0) -> None:
        super().__init__(f"{problem} ({fix})")
        self.status = status
        self.problem = problem
        self.fix = fix
        self.retry = retry


class NotDurableError(CertpinError):
    """A report could not be written down, or it is not known whether it was. It may be sent again.

    Nothing is counted twice by that: a report's identity is written down together with its count.
    ``refused``: the store is there, and would not take it. Others it may.
    """

    def __init__(self, problem: str, retry: int = 5, *, refused: bool = False) -> None:
        super().__init__(problem)
        self.refused = refused
        self.problem = problem
        self.retry = retry


class GoneError(CertpinError):
    """The client hung up before its body was whole: nobody is there to be answered."""


def bad(problem: str, fix: str) -> RefusedError:
    """What was sent cannot be read."""
    return RefusedError(HTTPStatus.BAD_REQUEST, problem, fix)


def too_large(most: int) -> RefusedError:
    """More than a report can be."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body has more than {most} bytes",
        "send fewer reports at once, or shorter chains",
    )


def unsupported(problem: str, fix: str) -> RefusedError:
    """A type or an encoding that nobody here reads."""
    return RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem, fix)


def no_report(problem: str, fix: str) -> RefusedError:
    """JSON, but no report."""
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, problem, fix)


def too_many(retry: int) -> RefusedError:
    """One source sends more than its share."""
    return RefusedError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "your network sends too many reports",
        f"wait {retry} s, and send each report once",
        retry,
    )


def away(exc: NotDurableError) -> RefusedError:
    """What would make the report durable is away or full."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        exc.problem,
        f"send it again in {exc.retry} s: it is not counted yet",
        exc.retry,
    )
