"""What a lane and its supervisor tell each other without a message: the layout of the memory that they share."""

from __future__ import annotations

import struct

MARKER = struct.Struct("<qd")
"""Shared memory, first: the row at work and its start on the monotonic clock. The lane writes it. Or `IDLE`, and since
when: 0 before the first row."""
LATE = struct.Struct("<d")
"""Shared memory, second: the start of a row whose time is over; it may no longer end. The supervisor writes it."""
LATE_AT = MARKER.size
STOP_AT = LATE_AT + LATE.size
"""Shared memory, third: a byte, nonzero to stop before the next row. The supervisor writes it."""
TELLING_AT = STOP_AT + 1
"""Shared memory, fourth: a byte, nonzero while outcomes become a message beside the row at work. The lane writes it."""
MARKER_SIZE = STOP_AT + 8
IDLE = -1
JUDGED = -2
"""Less the row: code of the user's runs for its outcome, which is being handed over; its clock began anew."""
