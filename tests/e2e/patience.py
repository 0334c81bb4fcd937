"""How long a test waits for what must come: as long as a busy machine needs.

The seconds that a test names are what a machine of its own would need at most, also with a sanitizer;
these machines are shared.  What must not come is never waited for by time.
"""

import time

TIMES = 6


def limit(seconds):
    """The moment of time.monotonic() at which it is given up."""
    return time.monotonic() + seconds * TIMES
