"""paho-mqtt with pins: CERTPIN_PINS=pins.toml python pinned_paho_mqtt.py HOST PORT"""

import sys

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

import certpin


def main(host: str, port: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set_context(certpin.PinnedSSLContext(certpin.PinSet.from_env()))
    client.connect(host, port)
    client.loop_start()
    message = client.publish("greetings", "hello", qos=1)
    message.wait_for_publish(timeout=10)
    print(message.is_published())
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
