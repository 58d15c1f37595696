"""Applying a run in a process that kills itself midway: ``python -m tests.upgrade.killed RUN POINT``.

POINT is ``batch`` (after the first finished batch) or ``delete`` (instead of the first delete).
"""

from __future__ import annotations

import os
import signal
import sys

from tests.upgrade import product


def main(run_id: str, point: str) -> None:
    """Apply the run, and kill this process at the point."""
    settings = product.Settings.from_env(os.environ)
    product.apply_until(settings, run_id, lambda: os.kill(os.getpid(), signal.SIGKILL), point)


if __name__ == "__main__":
    main(*sys.argv[1:])
