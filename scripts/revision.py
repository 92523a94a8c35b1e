"""Write the unreleased revision of the monitoring service's schema, from its tables.

``RELEASED`` is the last released revision, which never changes: all later changes are
written as one revision. Raise it with each release. Run by ``make revision``.

The changes of rows are written by hand in ``migrations/steps`` (``s0002.py``): ``before`` is
called before the tables change, ``after`` when they have changed.
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
    """Replace the unreleased revision with a new one."""
    for path in VERSIONS.glob("r*.py"):
        if int(path.stem[1:]) > RELEASED:
            path.unlink()
    path = VERSIONS / f"r{RELEASED + 1:04}.py"
    path.write_text(text(), encoding="utf-8")
    for words in (["check", "--quiet", "--fix-only"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, str(path)], check=True)
    print(f"written: {path.name}")


def text() -> str:
    """Return the revision before it is formatted."""
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
    """Return the calls of the steps written by hand for this revision, if there are any."""
    if find_spec(f"{_STEPS}.{name}") is None:
        return {"imports": "", "before": "", "after": ""}
    step = import_module(f"{_STEPS}.{name}")
    calls = {
        when: f"{name}.{when}(op.get_bind())" if hasattr(step, when) else ""
        for when in ("before", "after")
    }
    return {"imports": f"\nfrom {_STEPS} import {name}\n", **calls}


def _rendered(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Write true and false for both databases; alembic would write SQLite's ``1``."""
    if kind == "server_default" and isinstance(getattr(item, "arg", None), True_ | False_):
        return "sa.true()" if isinstance(item.arg, True_) else "sa.false()"
    return False


if __name__ == "__main__":
    main()
