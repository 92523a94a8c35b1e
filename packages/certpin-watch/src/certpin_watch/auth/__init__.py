"""Who may see what: tokens, sessions, OpenID Connect, and the record of who did what."""
