"""ftplib with pins, commands and data: CERTPIN_PINS=pins.toml python pinned_ftplib.py HOST PORT"""

import ftplib
import sys

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    with ftplib.FTP_TLS(context=context, timeout=10) as ftp:
        ftp.connect(host, port)
        ftp.login()  # AUTH TLS comes before the password
        ftp.prot_p()  # without it, files travel in clear text
        print(ftp.nlst())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
