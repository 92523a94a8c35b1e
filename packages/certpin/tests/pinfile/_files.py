"""A pin file in parts, for tests that break one of them."""

from __future__ import annotations

from certpin.pins import Pin
from tests import kit

ONE, TWO = kit.NOBODY, kit.NOBODY_ELSE
THREE = Pin("sha256", bytes(range(2, 34)))
WHOLE = Pin("cert-sha256", bytes(range(3, 35)))

HEAD = """\
schema = 1
name = "bank-app"
version = 12
"""
HOST = """\

[[host]]
name = "api.bank.example"
"""
PINS = f"""\

[[host.pin]]
pin = "{ONE}"

[[host.pin]]
pin = "{TWO}"
role = "backup"
"""
GOOD = HEAD + HOST + PINS

# Every setting of a file, in the order of the documentation.
FULL = f"""\
# Pins of the bank's app.
schema = 1
name = "bank-app"
version = 12                         # only ever rises

[[host]]
name = "api.bank.example"
mode = "enforce"
match = "any"
expires = 2027-06-01
on_expiry = "fail-open"
report_to = ["https://pins.bank.example/reports"]

[[host.pin]]
pin = "{ONE}"
role = "leaf"
state = "active"
note = "KMS key bank-2026-a"

[[host.pin]]
pin = '{TWO}'
role = "backup"
state = "published"

# Everything else.
[[host]]
name = "**.bank.example"
mode = "report"
match = "ca"
expires = 2027-06-01T12:00:00+02:00

[[host.pin]]
pin = "{WHOLE}"
role = "root"
"""
