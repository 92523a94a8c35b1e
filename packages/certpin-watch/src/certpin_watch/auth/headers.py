"""What every answer tells the browser: load nothing from elsewhere, run nothing inline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders

# Scripts, styles, pictures and requests: the watch's own files alone. Nothing inline, no frames,
# no <base>. A sign-on with OpenID begins with a link and not a form, so that `form-action` needs no
# provider: browsers apply it to where a form is redirected, too.
POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self'; "
    "font-src 'self'; "
    "connect-src 'self'; "
    "manifest-src 'self'; "
    "form-action 'self'; "
    "frame-ancestors 'none'; "
    "base-uri 'none'; "
    # Text becomes elements or scripts through the one policy of watch.js, or not at all.
    "require-trusted-types-for 'script'; "
    "trusted-types default"
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for what does not know frame-ancestors
    # Nothing goes to other sites. With "no-referrer", browsers would hide the Origin of the watch's
    # own forms from itself (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Two years. Names beside this one are for their owners to decide about.
_HSTS = "max-age=63072000"


def secure(headers: MutableHeaders, *, by_tls: bool) -> None:
    """Add them to an answer. Only what is no page may say how long it can be kept."""
    for name, value in _HEADERS.items():
        headers[name] = value
    if by_tls:
        headers["Strict-Transport-Security"] = _HSTS
    if "cache-control" not in headers or headers.get("content-type", "").startswith("text/html"):
        headers["Cache-Control"] = "no-store"
