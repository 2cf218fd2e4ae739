"""A process that examines records for another one; started by `lethe.audit.verify.shared`.

It reads the keys, a line of JSON; then, as often as it likes, a number and that many records, a
line each. For each such batch it writes what it found as one line of JSON. It ends when its input
does, so also when whoever started it was killed.
"""

import json
import signal
from typing import Any

from lethe.audit.keyring import Key
from lethe.audit.verify.examine import examine, packed
from lethe.audit.verify.trust import Remembered

BUFFER = 1024**2


def main() -> None:
    """Examine until the input ends."""
    # Ctrl-C goes to all processes of a terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(0, "rb", BUFFER, closefd=False) as source, open(1, "wb", closefd=False) as sink:
        keys: list[dict[str, Any]] = json.loads(source.readline())
        ring = Remembered(tuple(Key(**one) for one in keys))
        while number := source.readline():
            lines = [source.readline().removesuffix(b"\n") for _ in range(int(number))]
            found = [packed(examine(line, ring)) for line in lines]
            sink.write(json.dumps(found).encode() + b"\n")
            sink.flush()
