"""Actions: one decided act each, as frozen data that carries its reason.

A class per verb. ``apply`` looks again at the world and acts on a batch of its own kind; it may be
repeated after a crash at any point and beside a twin of itself. ``holds`` tells afterwards whether
the act stands. Here are the verbs on objects, files, uploads and the pipeline's jobs; a verb on what
only one capability knows is in that capability's ``actions``. A job names the verbs it uses.
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
