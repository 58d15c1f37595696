"""Links to a job's files, which open without keys until they expire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from storage.core.errors import UsageError
from storage.core.model import JobId, ObjectKey

if TYPE_CHECKING:
    from minio import Minio

    from storage.core.settings import Settings

LONGEST = timedelta(days=7)  # S3 signs for no longer
#: What may be downloaded of a job, and where it lies below ``processed/JOB/``.
FILES = {
    "360p": "360p/video_360p.mp4",
    "720p": "720p/video_720p.mp4",
    "audio": "audio/audio.mp3",
    "transcript_txt": "transcription/transcript.txt",
    "transcript_srt": "transcription/transcript.srt",
    "transcript_vtt": "transcription/transcript.vtt",
    "transcript_json": "transcription/transcript.json",
    "hls_360p": "360p/segments/playlist.m3u8",
    "hls_720p": "720p/segments/playlist.m3u8",
    "metadata": "metadata.json",
    "original": "raw/video_original.mp4",
}


class PresignedURLGenerator:
    """Signs links; asks nobody. ``client`` knows its region, ``noted`` is told of each key that is given out.

    A link to an object is good whatever form it is stored in: its key never changes.
    """

    def __init__(
        self, client: Minio, bucket: str, noted: Callable[[ObjectKey], None] = lambda key: None
    ) -> None:
        self.client, self._bucket, self._noted = client, bucket, noted

    def generate_download_url(
        self, job_id: str, file_type: str, expires: timedelta = timedelta(hours=1)
    ) -> str:
        """Raises ValueError for a file type there is none of, UsageError for a time that cannot be signed."""
        if file_type not in FILES:
            raise ValueError(f"Invalid file_type: {file_type}. It may be {', '.join(FILES)}.")
        return self.url(ObjectKey(f"processed/{JobId(job_id)}/{FILES[file_type]}"), expires)

    def url(self, key: ObjectKey, expires: timedelta = timedelta(hours=1)) -> str:
        """A link to any object of the bucket."""
        if not timedelta(seconds=1) <= expires <= LONGEST:
            raise UsageError(f"A link holds from 1 s to 7 days, not {expires}.")
        made = self.client.presigned_get_object(self._bucket, key, expires=expires)
        self._noted(key)
        return made


def links(settings: Settings, noted: Callable[[ObjectKey], None] = lambda key: None) -> PresignedURLGenerator:
    """What signs links for the address people open, which need not be the one this machine uses."""
    from storage import connect  # a program that only names the class needs no client of a vendor

    own = connect.endpoint(settings)
    public = replace(own, url=settings.public_endpoint_url, setting="STORAGE_PUBLIC_ENDPOINT_URL")
    signer = (public if settings.public_endpoint_url else own).minio()
    return PresignedURLGenerator(signer, settings.bucket, noted)
