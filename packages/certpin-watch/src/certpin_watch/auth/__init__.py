"""Access control of pages, API and metrics.

- ``access``: checks each request (origin, identity, CSRF, requirement of the route); adds headers.
- ``identity``: the user or program that sent a request, and the state that requests share.
- ``sessions``: cookies, CSRF tokens and bodies of forms.
- ``credentials``: passwords and tokens of programs; ``throttle``: limits on guessing them.
- ``login``: logins with a password or OpenID Connect (``openid``, ``id_token``).
- ``pages``: accounts, tokens and the audit log.

Scopes and roles are in ``certpin_watch.permissions``, the table ``[access]`` in
``certpin_watch.settings``, SQL statements in ``store.accounts`` and ``store.sessions``.
"""
