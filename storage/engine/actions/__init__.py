"""Actions: one decided act each, as frozen data that carries its reason.

A class per verb. ``apply`` looks again at the world and acts on a batch of its own kind; it may be
repeated after a crash at any point and beside a twin of itself. ``holds`` tells afterwards whether
the act stands.
"""

from storage.engine.actions.backups import PruneBackup
from storage.engine.actions.base import Action, BatchSize, Keep, Work, decode, encode
from storage.engine.actions.compress import CompressObject
from storage.engine.actions.files import CondemnFile, ReapFile, RemoveFolder
from storage.engine.actions.follow import FollowObject
from storage.engine.actions.jobs import CondemnJob, FailJob, ReapJob
from storage.engine.actions.objects import CondemnObject, DeleteObject, ReapObject
from storage.engine.actions.transition import TransitionObject
from storage.engine.actions.uploads import AbortUpload

VERBS: dict[str, type[Action]] = {
    verb.verb: verb
    for verb in (
        DeleteObject,
        CondemnObject,
        ReapObject,
        CondemnFile,
        RemoveFolder,
        ReapFile,
        AbortUpload,
        FailJob,
        CondemnJob,
        ReapJob,
        PruneBackup,
        CompressObject,
        TransitionObject,
        FollowObject,
    )
}

__all__ = [
    "VERBS",
    "AbortUpload",
    "Action",
    "BatchSize",
    "CompressObject",
    "CondemnFile",
    "CondemnJob",
    "CondemnObject",
    "DeleteObject",
    "FailJob",
    "FollowObject",
    "Keep",
    "PruneBackup",
    "ReapFile",
    "ReapJob",
    "ReapObject",
    "RemoveFolder",
    "TransitionObject",
    "Work",
    "decode",
    "encode",
]
