"""The drawing of a chain: who signed whom, what is trusted, what is pinned, what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.picture import draw_chain
from certpin_watch.web.pictures.frame import drawn

if TYPE_CHECKING:
    from markupsafe import Markup

    from certpin.lab.report.flaws import ChainContext


def chain(name: str, ders: tuple[bytes, ...], scene: ChainContext) -> Markup:
    """What a server sent, leaf first. ``name`` is its own within the page."""
    return drawn(draw_chain(ders, scene, name))
