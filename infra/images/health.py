"""Whether the service in this container answers: exit code 0 or 1, for a health check.

The address is that of the variable HEALTH_URL, on this container's loopback address.
"""

import os
import sys
import urllib.error
import urllib.request

SECONDS = 4


def main() -> int:
    """Ask once; say on standard error why not."""
    address = os.environ["HEALTH_URL"]
    # Not by a proxy that the environment names for everything else.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
