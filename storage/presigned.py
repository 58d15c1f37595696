"""Presigned download links to a job's files, usable without credentials until they expire."""

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

LONGEST = timedelta(days=7)  # maximum of S3 signatures
#: Downloadable files of a job, with their paths below ``processed/JOB/``.
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
    """Generator of presigned links, without any request: ``client`` must have its region set.

    ``noted`` is called with each signed key. A link works in whatever form its object is stored, because
    the key never changes.
    """

    def __init__(
        self, client: Minio, bucket: str, noted: Callable[[ObjectKey], None] = lambda key: None
    ) -> None:
        self.client, self._bucket, self._noted = client, bucket, noted

    def generate_download_url(
        self, job_id: str, file_type: str, expires: timedelta = timedelta(hours=1)
    ) -> str:
        """Return a link to a job's file. Raises ValueError (unknown file type) or UsageError (lifetime)."""
        if file_type not in FILES:
            raise ValueError(f"Invalid file_type: {file_type}. It may be {', '.join(FILES)}.")
        return self.url(ObjectKey(f"processed/{JobId(job_id)}/{FILES[file_type]}"), expires)

    def url(self, key: ObjectKey, expires: timedelta = timedelta(hours=1)) -> str:
        """Return a link to any object of the bucket. Raises UsageError for an invalid lifetime."""
        if not timedelta(seconds=1) <= expires <= LONGEST:
            raise UsageError(f"A link may be valid for 1 s to 7 days, not {expires}.")
        made = self.client.presigned_get_object(self._bucket, key, expires=expires)
        self._noted(key)
        return made


def links(settings: Settings, noted: Callable[[ObjectKey], None] = lambda key: None) -> PresignedURLGenerator:
    """Create the generator for the public endpoint, which may differ from the one this machine uses."""
    from storage import connect  # imported lazily: importing the class must not need a vendor client

    own = connect.endpoint(settings)
    public = replace(own, url=settings.public_endpoint_url, setting="STORAGE_PUBLIC_ENDPOINT_URL")
    signer = (public if settings.public_endpoint_url else own).minio()
    return PresignedURLGenerator(signer, settings.bucket, noted)
