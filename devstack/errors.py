"""Errors of the local stack; every message names the next step."""

from __future__ import annotations


class DevstackError(Exception):
    """Base class: the local stack cannot do what was requested."""


class ProgramMissing(DevstackError):
    """A server program is not installed on this machine."""


class MissingTool(ProgramMissing):
    """A tool cannot be fetched or built on this machine."""


class ServerDied(DevstackError):
    """A server ended while it was being started."""


class NotReady(DevstackError):
    """A server runs but did not become ready in time."""


class BuildFailed(DevstackError):
    """A program could not be built from source or unpacked from its package."""


class UnsafeFolder(DevstackError):
    """A folder the stack needs belongs to another user or is not a folder of the stack."""


class AirflowApiError(DevstackError):
    """Airflow's REST API refused a call; `status` is the HTTP status, 0 without a response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
