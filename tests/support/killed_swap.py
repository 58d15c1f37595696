"""Swap in a forked process that is killed at a numbered point.

A point is an instant before or after a statement or a commit is sent to the server, counted from when the
restored database is prepared to go live. With point 0 it is not killed, and reports the stage of each point.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import psycopg2.extensions

from storage.backup.connect import open_context
from storage.backup.model import BackupId
from storage.backup.restore.swap import swap
from storage.core.settings import Settings
from tests.faults.fork import HUNG, Say, forked

SECONDS = 120
CALLS = {"execute", "copy_expert", "commit"}
STAGES = ("_prepare", "copy_database_settings", "exchange", "_bring_stragglers")
DRIVER = (psycopg2.extensions.connection, psycopg2.extensions.cursor)


class Counter:
    def __init__(self, point: int) -> None:
        self.point, self.passed, self.counting = point, list[str](), False

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_prepare":
            self.counting = True
        if not self.counting or event not in ("c_call", "c_return") or arg.__name__ not in CALLS:
            return
        if isinstance(arg.__self__, DRIVER) and (stage := _stage(frame)):
            self.passed.append(stage)
            if len(self.passed) == self.point:
                os.kill(os.getpid(), signal.SIGKILL)


def _stage(frame: FrameType | None) -> str:
    while frame and frame.f_code.co_name not in STAGES:
        frame = frame.f_back
    return frame.f_code.co_name if frame else ""


def killed_swap(settings: Settings, backup: BackupId, name: str, point: int) -> list[str]:
    """Swap in a child, killed at ``point`` unless that is 0; return the stages of its points if it lived."""

    def work(say: Say) -> None:
        counter = Counter(point)
        with open_context(settings) as context:
            sys.setprofile(counter)
            swap(context, backup, typed=name, by="a person")
            sys.setprofile(None)
        say(" ".join(counter.passed).encode())

    said, killed = forked(work, SECONDS)
    assert killed == bool(point), (point, said)
    assert not said.endswith(HUNG), point
    return said.decode().split()
