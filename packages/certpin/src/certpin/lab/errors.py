"""The errors of the lab that its user can fix."""

from __future__ import annotations

from certpin.errors import CertpinError


class LabError(CertpinError):
    """The lab cannot run: a package, a port or a folder is missing. ``fix`` says what to do."""

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.problem, self.fix)


def _rebuild(problem: str, fix: str) -> LabError:
    return LabError(problem, fix=fix)
