"""Helpers for tests of ``certpin rotate simulate``, which contacts no server in them.

The pin file of version 3 was published a hundred days ago.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin import Pin
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import days_pass, next_number
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Run

SERVED, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY
NEXT = kit.NOBODY_ELSE
# T_adopt is ten days and two hours.
QUICK = ("--cdn", "0s", "--cache", "0s", "--poll", "1h", "--opened", "10d", "--skew", "1h")
FEW = ("--offline", "--clients", "2000")


def publish(run: Run, *words: str, hosts: tuple[str, ...] = (HOST,)) -> None:
    """Write a pin file, and a journal in which it was published a hundred days ago.

    Args:
        run: runs a certpin command.
        words: more arguments of the command that records the published version.
        hosts: the pinned hosts.
    """
    write(*(kit.policy(host, SERVED, BACKUP) for host in hosts))
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8")
    backup = 'role = "backup"\nstate = "{}"'
    path.write_text(text.replace(backup.format("active"), backup.format("published")))
    assert run("rotate", "shipped", next_number(), "--offline", *QUICK, *words).code == 0
    days_pass(100)


def simulated(run: Run, *words: str | Path) -> tuple[Done, dict[str, Any]]:
    """Run ``certpin rotate simulate WORDS`` with 2000 clients and without network.

    Fail unless its JSON is as documented, and the exit code is 1 exactly if clients are locked out.

    Returns:
        The result of the command, and the JSON data.
    """
    done = run("rotate", "simulate", *FEW, *words, "--json")
    _documented.check("rotation simulation", done.json)
    assert done.code == any(host["locked_out"] for host in done.json["hosts"])
    return done, done.json


def of_step(facts: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the step with this number, of the first host in the JSON of a simulation."""
    found: dict[str, Any] = next(
        step for step in facts["hosts"][0]["steps"] if step["number"] == number
    )
    return found


def schedule(*steps: str, schema: str = "schema = 1") -> Path:
    """Write ``steps.toml``, a schedule to simulate, and return its path.

    Each of ``steps`` is the TOML text of one ``[[step]]`` table.
    """
    path = Path("steps.toml")
    text = "\n".join([schema, *(f"[[step]]\n{step}" for step in steps)])
    path.write_text(text + "\n", encoding="utf-8")
    return path
