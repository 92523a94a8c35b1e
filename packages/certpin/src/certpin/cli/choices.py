"""Constant values for the command line, in a module that imports nothing.

Most are choices in help texts, such as names of protocols. They are copied from the library,
because importing it would make help slow. tests/cli/test_startup.py compares each copy with the
library (decision 43).
"""

from __future__ import annotations

from pathlib import Path

# the shells that click completes in, and the variable that they set at a TAB (certpin.cli.shells)
SHELLS = ("bash", "zsh", "fish")
COMPLETION_VARIABLE = "_CERTPIN_COMPLETE"

# pinfile, pins, x509
PIN_FILE = Path("pins.toml")
PINS_VARIABLE = "CERTPIN_PINS"
MODES = ("enforce", "report")
MATCHES = ("leaf", "ca", "any")
KEY_ALGORITHMS = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519")

# probe
PROBE_SECONDS = 10.0
STARTTLS = ("ftp", "imap", "ldap", "mysql", "pop3", "postgres", "smtp", "xmpp")

# lint
LINT_FORMATS = ("text", "json", "sarif", "github")
SEVERITIES = ("error", "warning", "note")
ADOPTION_DAYS = 30

# lab
STYLES = ("none", "leaf", "ca")
LAB_PROTOCOLS = ("http", "imap", "imaps", "postgres", "smtp", "smtps")
CLIENT_SECONDS = 20.0
STALL_SECONDS = 3.0

# rotation
CYCLE_DAYS = 7
DELAYS = {"cdn": "1h", "cache": "1d", "poll": "1d", "opened": "30d", "skew": "1h"}
MAX_CLIENTS = 1_000_000_000
USUAL_CLIENTS = 100_000
USUAL_STRAGGLERS = "1%"

# advice: the questions of `certpin decide`, each with its help and its values
QUESTIONS = {
    "client": ("Which programs connect.", ("browser", "app", "deployed", "device", "partner")),
    "dns": ("Who controls the DNS name and the server.", ("own", "other")),
    "goal": (
        "Which attack should be stopped.",
        ("none", "misissuance", "interception", "tampering"),
    ),
    "demand": ("Who demands pinning.", ("none", "audit", "contract")),
    "store": ("Who decides which authorities the clients trust.", ("own", "platform")),
    "updates": ("How soon every client has new pins.", ("hours", "weeks", "never")),
    "key": ("Who makes the server's key.", ("own", "uploadable", "provider")),
}
