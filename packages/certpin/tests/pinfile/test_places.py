"""The lines of keys and comments, for every notation of a file."""

from __future__ import annotations

import pytest

from certpin.pinfile.places import Comment, Places

LONG = '''\
a = """
[[host]]
b = 1 # none
"" \\""" # none
"""
c = \'\'\'
# none
\'\'\'
[[host]] # first
d = "# none"
'''


def test_long_strings_contain_no_keys_and_no_comments() -> None:
    places = Places(LONG)
    assert places.comments == {9: Comment("first", alone=False)}
    assert [places.line(key) for key in ("a", "b", "c", "host[0]", "host[0].d", "host")] == [
        *(1, None, 6, 9, 10, 9)
    ]


INLINE = """\
host = [
  { name = "a", pin = [
    { pin = "x" },
  ] },
  # between
  { name = "b" },
]
[debug]
anchors = [
  "[[host]]",
]
last.one = 1
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("host", 1),
        ("host[0].name", 2),
        ("host[0].pin[0].pin", 2),
        ("host[1].name", 6),
        ("host[7]", 1),
        ("debug", 8),
        ("debug.anchors", 9),
        ("debug.last", 12),
        ("debug.last.one", 12),
        ("an empty file", None),
        ("", None),
    ],
)
def test_inline_tables_and_dotted_keys_have_their_lines(key: str, line: int | None) -> None:
    assert Places(INLINE).line(key) == line


def test_each_table_of_an_array_has_its_own_keys() -> None:
    tables = "[[host]]\n[[host.pin]]\n[[ host . 'pin' ]]\nx=1\n"
    text = f"{tables}[[host]]\nx=1\n[[host.pin]]\n"
    places = Places(text)
    keys = ("host[0]", "host[0].pin[1]", "host[0].pin[1].x", "host[1].x", "host[1].pin[0]")
    assert [places.line(key) for key in keys] == [1, 3, 4, 6, 7]


def test_a_reason_is_on_the_line_or_alone_on_the_line_above() -> None:
    places = Places("# one\n# two\na = 1 # three\nb = 1\n# certpin: allow x because y\nc = 1\n")
    assert places.reason(3) == "three two"
    assert (places.reason(4), places.reason(6)) == ("", "")
