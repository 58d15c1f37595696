"""The walk over a real temp folder: any depth, sparse files, and what no job may decide about."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.core.clock import utcnow
from storage.core.errors import TempFolderUnsafe
from storage.stores import file_walk
from storage.stores.files import TempFolder
from tests.support.in_memory import SECOND, World

DEPTH = 1_100
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Create an empty temp folder; remove it in a way that copes with any depth, as pytest does not."""
    root = tmp_path / "temp"
    root.mkdir()
    (root / ".transcode-flow-temp").touch()
    yield root
    subprocess.run(["rm", "-rf", root], check=True)


def deepen(folder: Path, depth: int) -> None:
    """Make folders below ``folder``, with a file in the innermost one; the whole path may be too long."""
    at = os.open(folder, file_walk.FOLDER)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", file_walk.FOLDER, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def cleaned(root: Path) -> World:
    """Clean up the folder at an instant at which files made just now are old enough."""
    world = World()
    world.time = utcnow() + 45 * SECOND
    world.stores = replace(world.stores, files=TempFolder(root))
    world.run("cleanup_temp_files", hours_old=1 / 120)
    return world


def unfit(root: Path) -> dict[str, str]:
    return {entry.path: entry.unfit for entry in TempFolder(root).walk() if entry.unfit}


def test_folders_of_any_depth_are_walked_and_removed(root: Path) -> None:
    """More than Python's recursion limit, and than the file descriptors a process may have."""
    deepen(root, DEPTH)
    (root / "z").write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    entries = list(TempFolder(root).walk())
    assert [entry.path.count("/") for entry in entries] == [*range(DEPTH, -1, -1), 0]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    cleaned(root)
    assert sorted(path.name for path in root.iterdir()) == [".condemned", ".transcode-flow-temp"]


def test_a_folder_replaced_during_the_walk_is_left(root: Path) -> None:
    """The way back leads through a folder that is no longer the one that was entered."""
    deepen(root, file_walk.OPEN + 10)
    (root / "d" / "z").touch()
    walk = iter(TempFolder(root).walk())
    next(walk)
    (root / "d").rename(root / "moved")
    (root / "d").mkdir()
    (root / "d" / "z").write_bytes(b"another")
    rest = {entry.path: entry.unfit for entry in walk}
    assert rest["d"] == file_walk.REPLACED
    assert "d/z" not in rest


def test_bytes_are_those_that_deleting_frees(root: Path) -> None:
    """A sparse file of 2 TiB exceeded every limit; space reserved beyond the end did not count."""
    (root / "plain").write_bytes(b"x" * 5_000)
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 41)
        file.write(b"x")
    (root / "reserved").touch()
    if subprocess.run(["fallocate", "-n", "-l", "4MiB", root / "reserved"], check=False).returncode:
        (root / "reserved").unlink()  # not every file system can
    sizes = {entry.path: entry.size for entry in TempFolder(root).walk()}
    assert sizes["plain"] == 5_000
    assert 0 < sizes["sparse"] <= 1 << 16
    assert sizes.get("reserved", 1 << 22) == 1 << 22


def test_what_no_job_may_decide_about_is_counted_in_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("one")
        os.mkfifo("two")
        world = cleaned(root)
    [run] = world.database.runs.values()
    assert dict(run.kept) == {"neither a file nor a link (socket, pipe or device)": 2}


def test_an_unreadable_folder_is_named_and_kept() -> None:
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    (home / "a" / "closed").mkdir(parents=True)
    (home / "a" / "closed").chmod(0)
    try:
        assert json.loads("".join(_as_nobody(home))) == {"a/closed": file_walk.UNREADABLE}
    finally:
        shutil.rmtree(home)


def _as_nobody(root: Path) -> Iterator[str]:
    """Walk in a child process that is not root; return what it found unfit, as JSON."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        os.write(writer, json.dumps(unfit(root)).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        yield answer.read()


def test_a_link_as_the_folder_is_refused_with_its_target(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(TempFolderUnsafe, match=f"is a link.*Set STORAGE_TEMP_DIR to {root}"):
        TempFolder(tmp_path / "link").check()


# --- mounts, in a namespace of their own ------------------------------------------------------------------

_SCRIPT = """
import json, sys
from pathlib import Path
from storage.stores.files import TempFolder
found = [[entry.path, entry.unfit] for entry in TempFolder(Path(sys.argv[1])).walk()]
print(json.dumps(found))
"""
_MOUNTS = """
set -e; cd "$1"
mkdir -p "tmpfs here/inside" bound source plain/deep; touch source/file file bound_file plain/deep/file
mount -t tmpfs none "tmpfs here"; touch "tmpfs here/hidden"
mount --bind source bound; mount --bind source/file bound_file
"""
_OVERLAY = """
set -e; cd "$1/.."; mkdir -p lower upper
mount -t tmpfs none lower; mount -t tmpfs none upper
mkdir -p lower/job upper/up upper/work; touch lower/job/below
mount -t overlay overlay -o lowerdir=lower,upperdir=upper/up,workdir=upper/work "$1"
mkdir "$1/new"; touch "$1/new/above" "$1/job/beside"
"""


def walked_in_a_namespace(root: Path, mounts: str) -> dict[str, str]:
    """Mount, and walk, in a namespace of mounts of its own; skip where the machine does not allow it."""
    program = f'{mounts}\ncd "$2"; exec "$3" -c "$4" "$1"'
    arguments = [str(root), str(Path.cwd()), sys.executable, _SCRIPT]
    rootless = [] if os.geteuid() == 0 else ["-U", "-r"]
    done = subprocess.run(
        ["unshare", *rootless, "-m", "sh", "-c", program, "sh", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "mount" in done.stderr + done.stdout or "unshare" in done.stderr:
        pytest.skip(f"no mounts for tests on this machine: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_mount_points_are_named_and_their_surroundings_are_walked(root: Path) -> None:
    """A bind mount too, whose files cannot be renamed out of it, and one of a file."""
    assert walked_in_a_namespace(root, _MOUNTS) == {
        "bound": file_walk.MOUNTED,
        "bound_file": file_walk.MOUNTED,
        "file": "",
        "plain/deep/file": "",
        "plain/deep": "",
        "plain": "",
        "source/file": "",
        "source": "",
        "tmpfs here": file_walk.MOUNTED,
    }


def test_files_of_an_overlay_over_two_file_systems_are_considered(root: Path) -> None:
    """Their device is that of the layer they are in, not that of their folder."""
    assert walked_in_a_namespace(root, _OVERLAY) == {
        "job/below": "", "job/beside": "", "job": "", "new/above": "", "new": "",
    }  # fmt: skip
