"""The SDK's settings, quiet in every process they reach.

The SDK logs to stdout, which belongs to results, also in the listener process that it starts. That process is given
these settings; unpickling them imports this module, and importing it sends the SDK's errors to stderr and drops the
rest.
"""

from __future__ import annotations

import logging

from hatchet_sdk import ClientConfig
from hatchet_sdk.logger import logger


class QuietConfig(ClientConfig):
    """`HATCHET_CLIENT_*`, and a silent SDK."""


logger.handlers = [logging.StreamHandler()]
logger.setLevel(logging.ERROR)
logger.propagate = False
