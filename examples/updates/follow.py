"""An app with pins that follow the published sets: python follow.py FOLDER UPDATES REQUEST

FOLDER has the files that your package contains: pins.toml, and root.json, which is the 1.root.json
of the published folder. UPDATES is the address of that folder, REQUEST any URL of a pinned host.
"""

import sys
from pathlib import Path

import certpin
from certpin.clients.stdlib import opener
from certpin.updates import PinUpdater


def main(folder: Path, updates: str, request: str) -> None:
    pins = certpin.PinSet.load(folder / "pins.toml")
    root = (folder / "root.json").read_bytes()
    with PinUpdater(pins=pins, root=root, url=updates, cache=folder / "cache") as updater:
        client = opener(updater.context)  # made once: its pins change inside
        try:
            updater.refresh()  # so that this example ends; otherwise the thread checks by itself
        except certpin.UpdateError as exc:
            print(f"no update ({exc.reason}), so on with what there is")
        with client.open(request) as answer:
            print(answer.status, updater.status.state, updater.status.version)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
