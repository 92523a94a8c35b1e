"""A rotation to simulate: version 3 is a hundred days old, and no server is contacted."""

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
    """Write a pin file, and a journal in which it was published a hundred days ago."""
    write(*(kit.policy(host, SERVED, BACKUP) for host in hosts))
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8")
    backup = 'role = "backup"\nstate = "{}"'
    path.write_text(text.replace(backup.format("active"), backup.format("published")))
    assert run("rotate", "shipped", next_number(), "--offline", *QUICK, *words).code == 0
    days_pass(100)


def simulated(run: Run, *words: str | Path) -> tuple[Done, dict[str, Any]]:
    """Run a simulation and return its JSON, compared with the documentation and the exit code."""
    done = run("rotate", "simulate", *FEW, *words, "--json")
    _documented.check("rotation simulation", done.json)
    assert done.code == any(host["locked_out"] for host in done.json["hosts"])
    return done, done.json


def of_step(facts: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a step of the first host."""
    found: dict[str, Any] = next(
        step for step in facts["hosts"][0]["steps"] if step["number"] == number
    )
    return found


def schedule(*steps: str, schema: str = "schema = 1") -> Path:
    """Write a schedule; each step is the text of its table."""
    path = Path("steps.toml")
    text = "\n".join([schema, *(f"[[step]]\n{step}" for step in steps)])
    path.write_text(text + "\n", encoding="utf-8")
    return path
