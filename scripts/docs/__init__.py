"""The documentation site: pages made from the code, the navigation, and the build.

commands, rules, registries, metrics, …   make the reference pages: text from registries, no I/O
markdown                                   escaped text, tables and blocks for them
tree                                       all pages of the site with their links, as text
checks                                     what must hold before the build
navigation                                 the order of the pages, from docs/navigation.toml
__main__                                   `make docs`: stage the tree, build it, check the result
conf, extension, static                    Sphinx: its settings, events, style and script
serve                                      `make docs-serve`
"""

from __future__ import annotations


def pages() -> dict[str, str]:
    """Return the text of every generated page, by its path below ``docs``. None is committed."""
    # Here, because they import all of certpin.
    from scripts.docs import (  # noqa: PLC0415
        api,
        commands,
        conventions,
        errors,
        json_schema,
        metrics,
        registries,
        rules,
        service,
    )

    return {
        **commands.command_pages(),
        **rules.lint_pages(),
        **rules.mistake_pages(),
        **registries.format_pages(),
        **registries.attack_pages(),
        **errors.errors_page(),
        **conventions.exit_codes_page(),
        **conventions.environment_page(),
        **metrics.metrics_page(),
        **service.settings_page(),
        **service.alert_rules_page(),
        **service.api_page(),
        **json_schema.schema_page(),
        **api.api_pages(),
    }
