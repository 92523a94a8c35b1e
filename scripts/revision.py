"""Write the revision of the watch's schema that no release has yet, from its tables.

``RELEASED`` is the last revision that went out, which never changes again: what is above it is
written anew, as one. With a release, raise it. Run by ``make revision``.

What a revision does to rows stands in ``migrations/steps`` (``s0002.py``), by hand: ``before`` is
called before the tables change, ``after`` when they have.
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

_TEXT = '''"""{title} Written by ``make revision``, and by nobody after its release."""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {down}


def upgrade() -> None:
    """Bring the schema here, from the revision before."""
    {before}
    {body}
    {after}
'''


def main() -> None:
    """Remove what is not released, and write it anew."""
    for path in VERSIONS.glob("r*.py"):
        if int(path.stem[1:]) > RELEASED:
            path.unlink()
    path = VERSIONS / f"r{RELEASED + 1:04}.py"
    path.write_text(text(), encoding="utf-8")
    for words in (["check", "--quiet", "--fix-only"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, str(path)], check=True)
    print(f"written: {path.name}")


def text() -> str:
    """The revision, before it is formatted."""
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
        title="Every table." if not RELEASED else f"What is new since {RELEASED:04}.",
        revision=f"{RELEASED + 1:04}",
        down=f'"{RELEASED:04}"' if RELEASED else None,
        body="\n".join(line for line in body.splitlines() if "###" not in line).strip(),
    )


def _steps(name: str) -> dict[str, str]:
    """The calls of what was written by hand for this revision, if anything was."""
    if find_spec(f"{_STEPS}.{name}") is None:
        return {"imports": "", "before": "", "after": ""}
    step = import_module(f"{_STEPS}.{name}")
    calls = {
        when: f"{name}.{when}(op.get_bind())" if hasattr(step, when) else ""
        for when in ("before", "after")
    }
    return {"imports": f"\nfrom {_STEPS} import {name}\n", **calls}


def _rendered(kind: str, item: Any, _: object) -> str | Literal[False]:
    """True and false as both databases write them; alembic would write SQLite's ``1``."""
    if kind == "server_default" and isinstance(getattr(item, "arg", None), True_ | False_):
        return "sa.true()" if isinstance(item.arg, True_) else "sa.false()"
    return False


if __name__ == "__main__":
    main()
