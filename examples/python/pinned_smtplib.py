"""smtplib with pins, after STARTTLS: CERTPIN_PINS=pins.toml python pinned_smtplib.py HOST PORT"""

import smtplib
import sys

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    with smtplib.SMTP(host, port, timeout=10) as smtp:
        smtp.starttls(context=context)
        print(smtp.ehlo())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
