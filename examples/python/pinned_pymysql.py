"""PyMySQL with pins: CERTPIN_PINS=pins.toml python pinned_pymysql.py HOST PORT"""

import sys

import pymysql

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    with (
        pymysql.connect(host=host, port=port, user="root", ssl=context) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
        print(cursor.fetchone())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
