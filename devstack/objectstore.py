"""An S3 object store on loopback: a real MinIO, the embedded ministack, versitygw, or an external store.

Order for ``auto``: STORAGE_ENDPOINT_URL in the environment; `silo` or `minio` on PATH; the MinIO that
`make tools` built; ministack. versitygw is started by name only (versitygw_plain: without versions). This
module starts no containers: with a container engine, use docker-compose and point STORAGE_ENDPOINT_URL at it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devstack import ports, tools
from devstack.errors import DevstackError, ProgramMissing
from devstack.minio_build import SOURCE_VERSION, built
from devstack.process import OUTPUT, Process, base_env, start_process, wait_ready

KINDS = ("ministack", "minio", "versitygw", "versitygw_plain", "external")
REGION = "us-east-1"
READY_SECONDS = 60.0
# Bypass any proxy from the environment: requests go to loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
EMULATED = {
    "ministack": (
        "lifecycle rules and storage-class transitions are stored, never executed",
        "multipart parts below 5 MiB are accepted, unfinished uploads are lost on restart",
        "a wrong secret of the root key passes in signed headers (presigned URLs are checked)",
        "versioning, tags and lifecycle are lost when it is killed instead of stopped",
    ),
    "minio": (),
    "versitygw": (
        "no lifecycle rules, notifications or bucket encryption (501); a storage class is taken as STANDARD",
        "objects are files: a key below another key is refused (409), as is a part of a key above 255 bytes",
        "a//b, ./a and x/../a are cleaned without an error, also in a delete: a//b deletes a/b",
        "keys below .sgwtmp/ are not listed; a key of 1,025 bytes is taken",
        "an etag in a bulk delete is ignored; a copy onto itself that only changes the class is refused",
        "encryption asked for by a header (SSE-S3, SSE-C) is accepted and not done",
    ),
    "external": (),
}
EMULATED["versitygw_plain"] = (*EMULATED["versitygw"], "buckets cannot keep versions")
HEALTH = {
    "ministack": "/_ministack/health",
    "minio": "/minio/health/ready",
    "versitygw": "/_health",  # no bucket may have this name
    "versitygw_plain": "/_health",
}


@dataclass(frozen=True)
class ObjectStore:
    """A running object store."""

    kind: str
    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    version: str
    emulated: tuple[str, ...]
    folder: Path
    process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id, None for an external store."""
        return self.process.pid if self.process else None

    @property
    def port(self) -> int:
        """Return the TCP port of the endpoint."""
        return int(self.endpoint_url.rpartition(":")[2]) if self.process else 0

    def alive(self) -> bool:
        """Return True if the store still runs; an external store is assumed to run."""
        return self.process is None or self.process.alive()

    def stop(self) -> None:
        """Stop the store and keep its data. An external store is not stopped."""
        if self.process is not None:
            self.process.stop()

    def restart(self) -> ObjectStore:
        """Start the stopped store again with the same data, port and credentials."""
        if self.process is None:
            return self
        self.stop()
        return start(
            self.kind, self.folder, access_key=self.access_key, secret_key=self.secret_key, port=self.port
        )


def resolve(wanted: str = "auto") -> str:
    """Resolve `wanted` to a kind of store that is available on this machine."""
    if wanted in ("minio", "ministack"):
        _program(wanted)
        return wanted
    if wanted != "auto":
        raise DevstackError(f"unknown store {wanted!r}; choose auto, minio or ministack")
    if os.environ.get("STORAGE_ENDPOINT_URL"):
        return "external"
    return "minio" if minio_program() is not None else "ministack"


def external_keys() -> tuple[str, str]:
    """Read the credentials of an external store from the environment."""
    return os.environ.get("STORAGE_ACCESS_KEY", ""), os.environ.get("STORAGE_SECRET_KEY", "")


def minio_program() -> Path | None:
    """Find a MinIO-compatible server: the maintained fork `silo`, `minio`, or our own build."""
    for name in ("silo", "minio"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return built()


def ministack_program() -> Path | None:
    """Find the embedded server ministack in its separate virtual environment."""
    default = Path(__file__).resolve().parent.parent / ".venv-ministack" / "bin" / "ministack"
    program = Path(os.environ.get("MINISTACK_BIN") or default)
    return program if os.access(program, os.X_OK) else None


def _program(kind: str) -> Path:
    if kind.startswith("versitygw"):
        return tools.program("versitygw")
    found = minio_program() if kind == "minio" else ministack_program()
    if found is not None:
        return found
    if kind == "minio":
        raise ProgramMissing("no silo or minio on PATH and none built; run `make tools` to build MinIO")
    raise ProgramMissing("ministack is not installed; run `make setup`, or set MINISTACK_BIN to its program")


def start(
    kind: str, folder: Path, *, access_key: str, secret_key: str, port: int | None = None
) -> ObjectStore:
    """Start a store with its data in `folder`; an `external` store is only described."""
    if kind == "external":
        return _external(folder, access_key, secret_key)
    if kind not in KINDS:
        raise DevstackError(f"unknown kind of store {kind!r}; choose one of {', '.join(KINDS)}")
    program = _program(kind)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = port if port is not None else ports.choose()
    if not ports.is_free(chosen):
        raise DevstackError(f"port {chosen} is taken by another program; start {kind} on another port")
    process = _LAUNCH[kind](program, folder, chosen, access_key, secret_key)
    wait_ready(kind, process, lambda: probe(chosen, HEALTH[kind]), folder / f"server{OUTPUT}", READY_SECONDS)
    version = _version(kind, program, chosen)
    return ObjectStore(
        kind, f"http://{ports.HOST}:{chosen}", access_key, secret_key, REGION, version, EMULATED[kind],
        folder, process,
    )  # fmt: skip


def _external(folder: Path, access_key: str, secret_key: str) -> ObjectStore:
    endpoint = os.environ.get("STORAGE_ENDPOINT_URL", "").rstrip("/")
    if not endpoint:
        raise DevstackError("an external store needs STORAGE_ENDPOINT_URL in the environment")
    region = os.environ.get("STORAGE_REGION") or REGION
    return ObjectStore("external", endpoint, access_key, secret_key, region, "not asked", (), folder)


def _launch_minio(program: Path, folder: Path, port: int, access_key: str, secret_key: str) -> Process:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    env = {
        **base_env(folder),
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",  # no update check over the network
        # The scanner applies lifecycle rules: at this speed within seconds instead of half a minute.
        "MINIO_SCANNER_SPEED": "fastest",
    }
    address = ["--address", f"{ports.HOST}:{port}", "--console-address", f"{ports.HOST}:{ports.choose()}"]
    return start_process(
        [program, "server", *address, data], env=env, cwd=folder, log=folder / f"server{OUTPUT}"
    )


def _launch_ministack(program: Path, folder: Path, port: int, access_key: str, secret_key: str) -> Process:
    env = {
        **base_env(folder),
        "BIND_HOST": ports.HOST,  # its default is all interfaces
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "MINISTACK_REGION": REGION,
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "data"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder}/no-engine.sock",  # otherwise it looks for containers to remove
        "LOG_LEVEL": "WARNING",
    }
    return start_process([program], env=env, cwd=folder, log=folder / f"server{OUTPUT}")


def _launch_versitygw(
    program: Path, folder: Path, port: int, access_key: str, secret_key: str, versions: bool = True
) -> Process:
    data, kept = folder / "data", folder / "versions"
    data.mkdir(exist_ok=True)
    kept.mkdir(exist_ok=True)  # versioning needs this folder
    env = {**base_env(folder), "ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key}
    listen = [
        "--port",
        f"{ports.HOST}:{port}",
        "--region",
        REGION,
        "--health",
        HEALTH["versitygw"],
        "--quiet",
    ]
    versioning = ["--versioning-dir", kept] if versions else []
    return start_process(
        [program, *listen, "posix", *versioning, data], env=env, cwd=folder, log=folder / f"server{OUTPUT}"
    )


_LAUNCH = {
    "ministack": _launch_ministack,
    "minio": _launch_minio,
    "versitygw": _launch_versitygw,
    "versitygw_plain": partial(_launch_versitygw, versions=False),
}


def probe(port: int, path: str) -> bool:
    """Return True if the health URL of a server answers 200."""
    try:
        with _OPENER.open(f"http://{ports.HOST}:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False  # not listening yet, or starting and answering 503


def _version(kind: str, program: Path, port: int) -> str:
    if kind == "minio":
        return _minio_version(program)
    return _ministack_version(port) if kind == "ministack" else tools.version("versitygw", program)


def _ministack_version(port: int) -> str:
    with _OPENER.open(f"http://{ports.HOST}:{port}/_ministack/health", timeout=5) as answer:
        return str(json.load(answer).get("version") or "unknown")


def _minio_version(program: Path) -> str:
    if program == built():
        return f"{SOURCE_VERSION} (own build, upstream unmaintained)"
    done = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.partition("\n")[0].strip() or "unknown"
