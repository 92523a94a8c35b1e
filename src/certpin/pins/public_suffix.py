"""Whether a name is a public suffix: one under which anybody may register.

The rules are the ICANN section of the Public Suffix List (https://publicsuffix.org, MPL 2.0), in
the file beside this one. ``make suffixes`` makes it anew from the ``publicsuffixlist`` package;
a test tells when it has aged.
"""

from __future__ import annotations

from functools import cache


def is_public(name: str) -> bool:
    """Whether a normalised name is a public suffix, by the algorithm of the list itself.

    A top-level name that the list doesn't know counts as one ("the prevailing rule is ``*``"), and
    so does a name that has nothing but suffixes below it (``kawasaki.jp``: ``*.kawasaki.jp``).
    """
    rules = _rules()
    if f"!{name}" in rules:
        return False
    _, dot, parent = name.partition(".")
    return not dot or not rules.isdisjoint({name, f"*.{name}", f"*.{parent}"})


@cache
def _rules() -> frozenset[str]:
    from importlib.resources import files  # a tenth of the import time, for those with wildcards

    text = files("certpin.pins").joinpath("public_suffix.txt").read_text(encoding="ascii")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))
