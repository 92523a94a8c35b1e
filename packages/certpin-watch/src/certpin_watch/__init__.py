"""The monitoring service of certpin: probes of servers, reports of apps, and alerts.

Its parts exchange data only through the store (docs/decisions/0028-one-watch-many-parts.md):

    reports ──▶ collector ──▶ ┐
                              ├─▶ store ──▶ rules ──▶ alerts ──▶ people
    servers ──▶ monitor ────▶ ┘     └─────▶ api, web, metrics

- ``service``: ``certpin serve``: starts and stops the rest, with ``application`` (all routes),
  ``health``, ``http_server``, ``logs`` and ``telemetry``
- ``snapshot``: the monitored pin sets; ``context``: the object that every part gets
- ``chain_check``: the verdict of the pins on a reported chain, for alerts, pages and the API; its
  issuer, for pages
- ``settings``: ``watch.toml``; ``secret``: secrets in it; ``addresses``: IP addresses
- ``cli``: ``certpin serve`` and ``certpin watch``
"""
