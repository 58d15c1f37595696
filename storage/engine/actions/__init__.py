"""Actions: immutable data, each a planned change with its reason.

One class per verb. ``apply`` rechecks the current state and acts on a batch of its own class; it may be
repeated after a crash at any point and run concurrently with itself. ``holds`` tells afterwards whether
the action is in effect. This package has the verbs on objects, files, uploads and the pipeline's jobs;
verbs of a single capability are in that capability's ``actions``. A job lists the verbs it uses.
"""

from storage.engine.actions.base import Action, BatchSize, Keep, Work, decode, encode
from storage.engine.actions.files import CondemnFile, ReapFile, RemoveFolder
from storage.engine.actions.jobs import CondemnJob, FailJob, ReapJob
from storage.engine.actions.objects import CondemnObject, DeleteObject, ReapObject
from storage.engine.actions.uploads import AbortUpload

__all__ = [
    "AbortUpload",
    "Action",
    "BatchSize",
    "CondemnFile",
    "CondemnJob",
    "CondemnObject",
    "DeleteObject",
    "FailJob",
    "Keep",
    "ReapFile",
    "ReapJob",
    "ReapObject",
    "RemoveFolder",
    "Work",
    "decode",
    "encode",
]
