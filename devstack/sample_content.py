"""Object contents of the sample: real clips, encoded once with ffmpeg and cached, and real text."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]

from devstack.sample_jobs import VARIANTS
from devstack.sample_values import Content

_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-pix_fmt", "yuv420p")
_AAC = ("-c:a", "aac", "-b:a", "48k")
# One thread and no encoder stamps: the same ffmpeg produces the same bytes every time.
_SAME = ("-bitexact", "-threads", "1")
_MP4 = ("-movflags", "+faststart")
# The frames are tiny whatever the rendition's name says; it only matters that they are real video.
_DERIVED: tuple[tuple[str, ...], ...] = (
    ("-vf", "scale=160:90", *_X264, *_AAC, *_SAME, *_MP4, "video_360p.mp4"),
    ("-vf", "scale=240:136", *_X264, *_AAC, *_SAME, *_MP4, "video_720p.mp4"),
    ("-vn", "-c:a", "libmp3lame", "-b:a", "48k", *_SAME, "audio.mp3"),
    (
        *("-vf", "scale=160:90", *_X264, "-force_key_frames", "expr:gte(t,n_forced*1)", *_AAC, *_SAME),
        *("-f", "hls", "-hls_time", "1", "-hls_list_size", "0"),
        *("-hls_segment_filename", "seg_%03d.ts", "playlist.m3u8"),
    ),
)
_CODECS = {"video": "h264", "audio": "aac", "container": "mp4"}
_SUBJECTS = ("The lecture", "Our next speaker", "This chapter", "The second experiment", "The interview")
_VERBS = ("explains", "compares", "introduces", "summarises", "questions")
_OBJECTS = (
    "how sound travels through water",
    "two ways to store energy",
    "the history of the harbour",
    "why bread needs time",
    "the first results of the survey",
    "what a map leaves out",
)


def _source(variant: int) -> tuple[str, ...]:
    """Return the ffmpeg arguments of a noise clip, which like real media cannot be compressed further."""
    picture = f"cellauto=size=320x180:rate=15:rule=110:seed={variant + 1}"
    sound = f"anoisesrc=color=brown:duration=2:seed={variant + 1}"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", "2")
    return (*inputs, *_X264, *_AAC, *_SAME, *_MP4, "source.mp4")


def _recipe() -> str:
    steps = json.dumps([[_source(variant) for variant in range(VARIANTS)], _DERIVED])
    return hashlib.sha256((steps + imageio_ffmpeg.get_ffmpeg_version()).encode()).hexdigest()[:16]


def media_folder() -> Path:
    """Return the folder with the finished clips; encode them on first use."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "transcode-flow-storage" / f"media-{_recipe()}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place when complete, so an interrupted or parallel run leaves no partial cache.
        work = Path(tempfile.mkdtemp(prefix="media-", dir=folder.parent))
        for variant in range(VARIANTS):
            _make(work / str(variant), variant)
        if folder.is_dir():
            shutil.rmtree(work)
        else:
            work.rename(folder)
    return folder


def _make(folder: Path, variant: int) -> None:
    folder.mkdir()
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin"]
    steps = [_source(variant), *(("-i", "source.mp4", *step) for step in _DERIVED)]
    for step in steps:
        subprocess.run([*program, *step], cwd=folder, check=True, timeout=60)


class Contents:
    """Renderer of Content values into bytes; holds the clips in memory (well under a megabyte)."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or media_folder()
        self._clips = {
            (int(path.parent.name), path.name): path.read_bytes() for path in sorted(folder.glob("*/*"))
        }

    def render(self, content: Content) -> bytes:
        """Return the bytes of one object, always the same for the same value."""
        if content.kind == "media":
            return _salted(self._clips[content.variant, content.name], content)
        if content.kind == "text":
            return transcript(content.name, content.salt).encode()
        if content.kind == "metadata":
            return self._metadata(content)
        if content.kind == "log":
            return _log(content)
        return random.Random(content.salt or content.name).randbytes(content.size)

    def sizes(self, stem: str, content: Content) -> int:
        """Return the bytes that a job's row reports for one output; segments are added up."""
        if stem != "segments":
            return len(self.render(content))
        names = ("playlist.m3u8", "seg_000.ts", "seg_001.ts")
        return sum(len(self.render(Content("media", name, content.variant, content.salt))) for name in names)

    def _metadata(self, content: Content) -> bytes:
        value = {
            "job_id": content.salt,
            "duration_seconds": 2.0,
            "codecs": _CODECS,
            "renditions": {
                name: {"size_bytes": len(self._clips[content.variant, name])}
                for name in ("source.mp4", "video_360p.mp4", "video_720p.mp4", "audio.mp3")
            },
        }
        return json.dumps(value, indent=2, sort_keys=True).encode()


def _salted(clip: bytes, content: Content) -> bytes:
    """Make a clip unique to a job by appending a `free` atom, which every MP4 player skips."""
    if not content.salt or not content.name.endswith(".mp4"):
        return clip
    note = content.salt.encode()
    return clip + struct.pack(">I4s", 8 + len(note), b"free") + note


def _log(content: Content) -> bytes:
    if content.name == "audit":
        lines = [json.dumps({"entry": number, "action": "login", "result": "ok"}) for number in range(40)]
    else:
        lines = [f"job {content.salt}", "stage transcode", "ffmpeg exited with code 1", "giving up"]
    return ("\n".join(lines) + "\n").encode()


def _sentences(seed: str) -> list[tuple[float, float, str]]:
    rng = random.Random(seed)
    found, start = [], 0.0
    for _ in range(rng.randrange(6, 30)):
        end = round(start + rng.uniform(1.5, 5), 3)
        text = f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)}."
        found.append((start, end, text))
        start = end
    return found


def _stamp(seconds: float, mark: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{mark}{thousandths:03}"


def transcript(name: str, seed: str) -> str:
    """Generate a transcript in the format of its file name: txt, srt, vtt or json."""
    return written(name, _sentences(seed))


def written(name: str, sentences: Sequence[tuple[float, float, str]]) -> str:
    """Format sentences, each with its start and end in seconds, in the format of the file name."""
    if name.endswith(".json"):
        segments = [{"start": start, "end": end, "text": text} for start, end, text in sentences]
        return json.dumps({"language": "en", "segments": segments}, indent=1)
    if name.endswith(".srt"):
        cues = [
            f"{number}\n{_stamp(start, ',')} --> {_stamp(end, ',')}\n{text}\n"
            for number, (start, end, text) in enumerate(sentences, 1)
        ]
        return "\n".join(cues)
    if name.endswith(".vtt"):
        cues = [f"{_stamp(start, '.')} --> {_stamp(end, '.')}\n{text}\n" for start, end, text in sentences]
        return "WEBVTT\n\n" + "\n".join(cues)
    return "\n".join(text for _, _, text in sentences) + "\n"
