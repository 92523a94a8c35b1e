"""How a lab's roots are taken out of a trust store again."""

from __future__ import annotations

REMOVAL = """\
This folder belongs to an interactive lab of certpin.

DO NOT LEAVE A DEVICE TRUSTING THESE ROOTS. Whoever has the private keys (*.key) in this folder
can read and change everything that such a device sends. Never copy the keys elsewhere. The *.crt
files are what a device under test installs; remove them from it when the test is done. They end
by themselves after 30 days.

Their names are "Root R, do not trust (certpin lab)" and "Rogue R2, do not trust (certpin lab)".

Android   Settings > Security and privacy > More security settings > User credentials (or
          "Trusted credentials", tab "User"): choose each, then Remove. The place differs by maker:
          search the settings for "credentials".
iOS       Settings > General > VPN & Device Management: choose the profile, then Remove.
          Settings > General > About > Certificate Trust Settings must then not list it any more.
Java      keytool -list -keystore KEYSTORE, then
          keytool -delete -alias ALIAS -keystore KEYSTORE
Windows   certmgr.msc (and certlm.msc): Trusted Root Certification Authorities > Certificates,
          choose each, then Delete.
macOS     Keychain Access > login and System > Certificates: choose each, then Delete; or
          security delete-certificate -c "do not trust (certpin lab)"
Linux     Debian, Ubuntu: remove the file from /usr/local/share/ca-certificates, then
          update-ca-certificates --fresh
          Fedora: remove it from /etc/pki/ca-trust/source/anchors, then update-ca-trust
          Firefox and Chromium: their own settings, certificates, authorities.

Remove the WireGuard tunnel from the device as well. Then delete this folder.
"""
