"""Write the Alembic revision with the unreleased changes of the monitoring service's tables.

``RELEASED`` is the last released revision, which never changes: all later changes are written as
one revision. Raise the constant with each release. ``make revision`` runs this program.

The changes of rows are written by hand in ``migrations/steps`` (``s0002.py``). The revision calls
their function ``before`` before the tables change, and ``after`` when they have changed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy.sql.elements import False_, True_

from certpin_watch.store import open_store, schema
from certpin_watch.store.tables import METADATA

RELEASED = 1

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
_STEPS = "certpin_watch.store.migrations.steps"

_TEXT = '''"""{title} Written by ``make revision``, and not changed after its release."""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {down}


def upgrade() -> None:
    """Change the tables from the previous revision to this revision."""
    {before}
    {body}
    {after}
'''


def main() -> None:
    """Delete the unreleased revision, and write a new one from the current tables."""
    for path in VERSIONS.glob("r*.py"):
        if int(path.stem[1:]) > RELEASED:
            path.unlink()
    path = VERSIONS / f"r{RELEASED + 1:04}.py"
    path.write_text(text(), encoding="utf-8")
    for words in (["check", "--quiet", "--fix-only"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, str(path)], check=True)
    print(f"written: {path.name}")


def text() -> str:
    """Return the Python source of the unreleased revision, not formatted yet."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/watch.db")
        if RELEASED:
            schema.migrate(store)
        options = {"version_table": schema.VERSION_TABLE}
        with store.read() as connection:
            context = MigrationContext.configure(connection, opts=options)
            script = produce_migrations(context, METADATA)
            if script.upgrade_ops is None:
                raise SystemExit("nothing is new")
            body = render_python_code(
                script.upgrade_ops, migration_context=context, render_item=_rendered
            )
        store.close()
    return _TEXT.format(
        **_steps(f"s{RELEASED + 1:04}"),
        title="Every table." if not RELEASED else f"Changes since {RELEASED:04}.",
        revision=f"{RELEASED + 1:04}",
        down=f'"{RELEASED:04}"' if RELEASED else None,
        body="\n".join(line for line in body.splitlines() if "###" not in line).strip(),
    )


def _steps(name: str) -> dict[str, str]:
    """Return the import and the calls of this revision's hand-written changes of rows.

    The keys are ``imports``, ``before`` and ``after``; a value is empty if there is no such code.
    """
    if find_spec(f"{_STEPS}.{name}") is None:
        return {"imports": "", "before": "", "after": ""}
    step = import_module(f"{_STEPS}.{name}")
    calls = {
        when: f"{name}.{when}(op.get_bind())" if hasattr(step, when) else ""
        for when in ("before", "after")
    }
    return {"imports": f"\nfrom {_STEPS} import {name}\n", **calls}


def _rendered(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Return ``sa.true()`` or ``sa.false()`` for a Boolean default, which suits both databases.

    Return False for everything else, so that alembic renders it. For a Boolean, alembic would write
    SQLite's ``1``.
    """
    if kind == "server_default" and isinstance(getattr(item, "arg", None), True_ | False_):
        return "sa.true()" if isinstance(item.arg, True_) else "sa.false()"
    return False


if __name__ == "__main__":
    main()
