"""Elasticsearch with pins: CERTPIN_PINS=pins.toml python pinned_elasticsearch.py HOST PORT"""

import sys

from elasticsearch import Elasticsearch

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    # Without retries: each would ask the same attacker again.
    with Elasticsearch(f"https://{host}:{port}", ssl_context=context, max_retries=0) as client:
        print(client.info()["tagline"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
