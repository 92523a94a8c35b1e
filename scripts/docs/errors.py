"""The reference page of the classes in ``certpin.errors``: hierarchy, texts and exit codes."""

from __future__ import annotations

from inspect import cleandoc, getdoc
from typing import TYPE_CHECKING

from certpin import errors
from scripts.docs.markdown import block, code, page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.errors import CertpinError

_INTRODUCTION = """\
Every error that certpin raises is a `certpin.CertpinError`; `fix` says what to do next. You
import the names from `certpin`; [the lab's](api/certpin.lab.md) two, `LabError` and
`CannotServeError`, from `certpin.lab`. A refused connection is a `PinError`, and
`certpin.pin_error(exc)` finds it inside the error that your client library raised: [when a
connection is refused](../guides/failures.md)."""

_PICKLED = (
    "Errors can be pickled, so they reach the parent of a worker process with their attributes."
)


def errors_page() -> dict[str, str]:
    """Return the text of the page of the errors, by its path below ``docs``."""
    tree = cleandoc(errors.__doc__ or "").split("\n\n")[1]
    parts = [_section(each) for each in every_error()]
    text = page(
        "Errors",
        _INTRODUCTION,
        block(cleandoc(tree).replace("``", ""), "text"),
        _PICKLED,
        *parts,
    )
    return {"reference/errors.md": text}


def every_error(base: type[CertpinError] = errors.CertpinError) -> Iterator[type[CertpinError]]:
    """Yield the public classes among ``base`` and its subclasses, a base before its subclasses."""
    if not base.__name__.startswith("_"):
        yield base
    for each in base.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from every_error(each)


def exit_code(error: type[CertpinError]) -> str:
    """Return the exit code of a command that ends with this error, as text for the page."""
    if issubclass(error, errors.PinError):
        return "1"
    if issubclass(error, errors.ProbeError):
        return "3"
    if issubclass(error, errors.StoreError):
        return "2, or 3 if the next try may succeed"
    return "2"


def _section(error: type[CertpinError]) -> str:
    bases = [each.__name__ for each in error.__mro__[1:] if each.__name__[0] != "_"]
    above = next(name for name in bases if hasattr(errors, name) or name == "Exception")
    article = "An" if above[0] in "AEIOU" else "A"
    exits = f"{article} {code(above)}. Exit code {exit_code(error)}."
    return "\n\n".join([f"## {error.__name__}", _markdown(getdoc(error) or ""), exits])


def _markdown(docstring: str) -> str:
    """Return a docstring as Markdown, with single instead of double backquotes around code."""
    return docstring.replace("``", "`")
