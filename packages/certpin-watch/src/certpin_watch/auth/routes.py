"""The pages of who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.auth import pages_account, pages_admin, pages_login

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from certpin_watch.snapshot import Watch


def routes(watch: Watch) -> list[BaseRoute]:
    """Signing in and out, one's own account, tokens and the record."""
    return [
        *pages_login.routes(watch),
        *pages_account.routes(watch),
        *pages_admin.routes(watch),
    ]
