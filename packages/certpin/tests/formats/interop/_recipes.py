"""The section of docs/reference/formats-proof.md about the recipes of the Dart package."""

from __future__ import annotations

_READ = "2026-11-28"
# The file of the recipe; the package that it was compared with: name, version, commit and its date.
RECIPES: tuple[tuple[str, str, str, str, str], ...] = (
    ("dio", "dio", "5.11.0", "6ad2f90a", "2026-08-07"),
    ("http", "http", "1.7.0-wip", "a0d49cb2", "2026-08-19"),
    ("generated_clients", "retrofit", "4.9.2", "0e9d4d7f", "2026-04-10"),
    ("generated_clients", "chopper", "8.5.2", "271a666", "2026-05-18"),
    ("web_socket_channel", "web_socket_channel", "3.0.4-wip", "a0d49cb2", "2026-08-19"),
    ("images", "flutter_cache_manager", "3.4.1", "515cc9e", "2024-10-09"),
    ("images", "cached_network_image", "3.4.0", "1c9d86a", "2024-08-04"),
    ("grpc", "grpc", "5.1.0", "0ef1bae", "2026-07-01"),
    ("grpc", "http2", "3.0.1-wip", "a0d49cb2", "2026-08-19"),
    ("mqtt_client", "mqtt_client", "10.11.9", "a153a2a", "2026-01-24"),
    ("postgres", "postgres", "3.5.12", "ffcd055", "2026-06-11"),
    ("pointycastle", "pointycastle", "4.0.0", "bbd8569", "2025-02-18"),
)
_HEAD = f"""
## Recipes that were checked by hand

The packages of the [recipes](../../packages/certpin-dart/README.md#recipes) can't be installed
where certpin's tests run. On {_READ} each recipe was compared by hand with the source of its
packages, at these commits: the signatures that it calls, the order of its checks, and its errors.
The tests compile the recipes with substitutes of the same types on Dart 3.5.2 and 3.7.3, and run
those that open connections at real TLS servers. For `images`, Flutter's `_network_image_io.dart`
was read at commit 000a6d64. Some of these versions need a newer Dart than the tests have: grpc,
mqtt_client and retrofit 3.8, chopper and postgres 3.9.

| recipe | package | version | commit | of |
|---|---|---|---|---|
"""


def recipes_text() -> str:
    """Return the section: the table of recipes, with the package and version of each."""
    rows = "".join(
        f"| `{recipe}` | {package} | {version} | {commit} | {date} |\n"
        for recipe, package, version, commit, date in RECIPES
    )
    return _HEAD + rows
