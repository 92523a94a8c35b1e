"""The watch: what servers serve, what clients meet, and who has to know.

Its parts meet in the store alone (docs/decisions/0028-one-watch-many-parts.md):

reports ──▶ collector ─▶ ┐
                         ├─▶ store ─▶ alerts ─▶ people
servers ──▶ monitor ───▶ ┘     └────▶ web: pages, API, metrics
"""
