"""The OpenAI SDK with pins: CERTPIN_PINS=pins.toml python pinned_openai.py HOST PORT"""

import sys

from openai import OpenAI

import certpin
from certpin.clients.httpx import PinnedClient


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with OpenAI(
        base_url=f"https://{host}:{port}/v1",
        api_key="secret",
        http_client=PinnedClient(pins),
        max_retries=0,  # each would ask the same attacker again
    ) as client:
        print([model.id for model in client.models.list()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
