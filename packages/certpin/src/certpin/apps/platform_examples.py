"""Examples of the mistakes in Android's network security configuration: wrong, and corrected.

A test uses the examples: the reader must find exactly one mistake in the wrong file, at the line
that ends with ``HERE``, and none in the corrected one. The rules themselves are in
``certpin.apps.rules``.
"""

from __future__ import annotations

HERE = "  <!-- <- here -->"  # marks the line of the mistake; removed before the example is read

FILE = "res/xml/network_security_config.xml"

# The id of the rule: bad, good.
EXAMPLES: dict[str, tuple[str, str]] = {
    "platform-pins-overridden": (
        f"""\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <pin-set>
      <pin digest="SHA-256">K2kVyeYcWi1X6QZ7KxiDuyncTqMSbiChj7u58R9y3qU=</pin>
      <pin digest="SHA-256">bJT4rZGQcU2bUqhBkvU6cXcev3xwwN0kq/xSGx+T6M8=</pin>
    </pin-set>
    <trust-anchors>
      <certificates src="system"/>
      <certificates src="user" overridePins="true"/>{HERE}
    </trust-anchors>
  </domain-config>
</network-security-config>
""",
        """\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <pin-set>
      <pin digest="SHA-256">K2kVyeYcWi1X6QZ7KxiDuyncTqMSbiChj7u58R9y3qU=</pin>
      <pin digest="SHA-256">bJT4rZGQcU2bUqhBkvU6cXcev3xwwN0kq/xSGx+T6M8=</pin>
    </pin-set>
  </domain-config>
  <debug-overrides>
    <trust-anchors>
      <certificates src="user" overridePins="true"/>
    </trust-anchors>
  </debug-overrides>
</network-security-config>
""",
    ),
    "only-user-authorities": (
        f"""\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <trust-anchors>
      <certificates src="user"/>{HERE}
    </trust-anchors>
  </domain-config>
</network-security-config>
""",
        """\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <trust-anchors>
      <certificates src="@raw/bank_authority"/>
    </trust-anchors>
  </domain-config>
</network-security-config>
""",
    ),
    "user-authorities": (
        f"""\
<network-security-config>
  <base-config>
    <trust-anchors>
      <certificates src="system"/>
      <certificates src="user"/>{HERE}
    </trust-anchors>
  </base-config>
</network-security-config>
""",
        """\
<network-security-config>
  <debug-overrides>
    <trust-anchors>
      <certificates src="user"/>
    </trust-anchors>
  </debug-overrides>
</network-security-config>
""",
    ),
    "cleartext-permitted": (
        f"""\
<network-security-config>
  <base-config cleartextTrafficPermitted="true"/>{HERE}
</network-security-config>
""",
        """\
<network-security-config>
  <base-config cleartextTrafficPermitted="false"/>
  <domain-config cleartextTrafficPermitted="true">
    <domain>10.0.2.2</domain>
  </domain-config>
</network-security-config>
""",
    ),
}
