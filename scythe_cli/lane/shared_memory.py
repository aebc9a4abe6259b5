"""The memory that a lane and its supervisor share, to exchange state without a message: its layout."""

from __future__ import annotations

import struct

MARKER = struct.Struct("<qd")
"""First: the row at work and its start on the monotonic clock. The lane writes it. Or `IDLE`, and since when: 0 before
the first row."""
LATE = struct.Struct("<d")
"""Second: the start of a row whose time is over; it may no longer end. The supervisor writes it."""
LATE_AT = MARKER.size
STOP_AT = LATE_AT + LATE.size
"""Third: a byte, nonzero to stop before the next row. The supervisor writes it."""
SENDING_AT = STOP_AT + 1
"""Fourth: a byte, nonzero while outcomes become a message in the background of the row at work. The lane writes it."""
MARKER_SIZE = STOP_AT + 8
IDLE = -1
