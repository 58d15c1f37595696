"""The temp folder: entries listed as they are, moves that never overwrite, removal of empty folders only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage.core.clock import utcnow
from storage.core.errors import FileGone, FileInTheWay
from storage.core.model import path_bytes
from storage.core.ports import FileStore
from storage.stores.files import TempFolder
from storage.testing import MemoryFiles


@pytest.fixture(params=["fake", "folder"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> SimpleNamespace:
    """Return ``files``, with ``write(path, data)`` and ``held_open(path)`` that bypass it."""
    if request.param == "fake":
        files = MemoryFiles(utcnow)
        return SimpleNamespace(files=files, write=_fake_write(files), held_open=_fake_open(files))
    root = tmp_path / "temp"
    root.mkdir()
    (root / ".transcode-flow-temp").touch()

    def place(path: str) -> Path:
        return Path(str(root)) / path_bytes(path).decode(errors="surrogateescape")

    def write(path: str, data: bytes) -> None:
        place(path).parent.mkdir(parents=True, exist_ok=True)
        place(path).write_bytes(data)

    return SimpleNamespace(files=TempFolder(root), write=write, held_open=lambda path: place(path).open("rb"))


def _fake_write(files: MemoryFiles) -> Callable[[str, bytes], None]:
    return lambda path, data: files.add(path, len(data)) and None


def _fake_open(files: MemoryFiles) -> Callable[[str], AbstractContextManager[None]]:
    @contextmanager
    def held_open(path: str) -> Iterator[None]:
        files.opened.add(path)
        yield
        files.opened.clear()

    return held_open


def shown(files: FileStore) -> list[tuple[str, str]]:
    return [(entry.path, entry.kind) for entry in files.walk()]


def test_walk_shows_folders_after_what_they_hold(folder: SimpleNamespace) -> None:
    for path in ("j/b", "j/a/x", "j.tmp", "j-1/y", "a"):
        folder.write(path, b"12345")
    found = shown(folder.files)
    assert sorted(found) == sorted(
        [("j/b", "file"), ("j/a/x", "file"), ("j.tmp", "file"), ("j-1/y", "file"), ("a", "file")]
        + [("j/a", "folder"), ("j", "folder"), ("j-1", "folder")]
    )
    order = [path for path, _ in found]
    for path in order:
        above = path.rpartition("/")[0]
        assert not above or order.index(above) > order.index(path)


def test_condemned_and_marker_are_left_out(folder: SimpleNamespace) -> None:
    folder.write("a", b"x")
    folder.files.move("a", ".condemned/run/1")
    folder.write("j/.condemned/b", b"x")
    assert [path for path, _ in shown(folder.files)] == ["j/.condemned/b", "j/.condemned", "j"]
    assert folder.files.look(".condemned/run/1")


@pytest.mark.parametrize("path", ["a b/c'd\"", "é/😀", "100%25/x", "new%0Aline", "-rf", " ", "%FF"])
def test_any_name_is_walked_looked_at_moved_and_unlinked(path: str, folder: SimpleNamespace) -> None:
    folder.write(path, b"12345")
    [entry] = [entry for entry in folder.files.walk() if entry.kind == "file"]
    assert (entry.path, entry.size) == (path, 5)
    assert folder.files.look(path) == entry
    folder.files.move(path, f".condemned/{path}")
    folder.files.move(f".condemned/{path}", path)
    folder.files.unlink(path)
    assert folder.files.look(path) is None


def test_move_keeps_inode_and_mtime_and_tells_of_it_in_changed(folder: SimpleNamespace) -> None:
    folder.write("j/a", b"12345")
    before = folder.files.look("j/a")
    folder.files.move("j/a", ".condemned/deep/er/a")
    after = folder.files.look(".condemned/deep/er/a")
    assert (after.inode, after.mtime_ns, after.size) == (before.inode, before.mtime_ns, 5)
    assert after.changed >= before.changed
    assert folder.files.look("j/a") is None


def test_move_is_never_over_something(folder: SimpleNamespace) -> None:
    folder.write("a", b"1")
    folder.write("b", b"22")
    with pytest.raises(FileInTheWay):
        folder.files.move("a", "b")
    assert [folder.files.look(path).size for path in ("a", "b")] == [1, 2]


def test_what_is_gone(folder: SimpleNamespace) -> None:
    folder.write("j/a", b"1")
    for path in ("b", "j/b", "k/a", "j/a/b"):
        assert folder.files.look(path) is None
    with pytest.raises(FileGone):
        folder.files.move("j/b", "c")
    folder.files.unlink("j/b")
    assert folder.files.look("j/a") is not None
    assert folder.files.rmdir("k") is True


def test_busy_while_somebody_has_it_open(folder: SimpleNamespace) -> None:
    folder.write("j/a", b"1")
    folder.write("j/b", b"1")
    assert folder.files.busy("j/a") is None
    with folder.held_open("j/a"):
        assert folder.files.busy("j/a")
        assert folder.files.busy("j/b") is None
        folder.files.move("j/a", ".condemned/a")
    assert folder.files.busy(".condemned/a") is None


def test_rmdir_only_when_empty(folder: SimpleNamespace) -> None:
    folder.write("j/deep/a", b"1")
    assert folder.files.rmdir("j") is False
    assert folder.files.rmdir("j/deep") is False
    folder.files.unlink("j/deep/a")
    assert folder.files.rmdir("j/deep") is True
    assert folder.files.rmdir("j") is True
    assert shown(folder.files) == []


def test_times_are_of_now(folder: SimpleNamespace) -> None:
    folder.write("j/a", b"1")
    times = [entry.changed for entry in folder.files.walk()] + [folder.files.now()]
    assert all(abs(time - utcnow()) < timedelta(minutes=1) for time in times)


def test_new_folder_may_be_swept(folder: SimpleNamespace) -> None:
    folder.write("j/a", b"1")
    folder.files.check()
    assert folder.files.root.startswith("/")
