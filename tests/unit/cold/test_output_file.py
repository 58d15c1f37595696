"""``storage get -o FILE``: what exists is never replaced by something else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.cli.output_file import sink
from storage.core.errors import UsageError

NEW = b"the object"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def write(path: object) -> None:
    with sink(str(path)) as file:
        file.write(NEW)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    write(tmp_path / "new")
    assert ((tmp_path / "new").read_bytes(), mode(tmp_path / "new")) == (NEW, 0o640)
    assert names(tmp_path) == ["new"]


def test_a_file_keeps_its_mode_its_owner_and_its_other_names(tmp_path: Path) -> None:
    private, shared = tmp_path / "private", tmp_path / "shared"
    for path in (private, shared):
        path.write_bytes(b"a longer text than the object's")
        if os.geteuid() == 0:
            os.chown(path, 1234, 4321)
        path.chmod(0o4600)
    owner = private.stat().st_uid, private.stat().st_gid
    os.link(shared, tmp_path / "other name")
    for path in (private, shared):
        inode = path.stat().st_ino
        write(path)
        assert path.read_bytes() == NEW
        assert (path.stat().st_ino == inode) == (path == shared)  # a single name is replaced in one step
    assert (mode(private), private.stat().st_uid, private.stat().st_gid) == (0o4600, *owner)
    assert (tmp_path / "other name").read_bytes() == NEW and shared.stat().st_nlink == 2


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("existing", "missing"):
        (tmp_path / name).symlink_to(tmp_path / "there" / name)
    (tmp_path / "there" / "existing").touch()
    for name in ("existing", "missing"):
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink() and (tmp_path / "there" / name).read_bytes() == NEW


@pytest.mark.parametrize("through", ["itself", "a link"])
def test_a_fifo_is_written_into(tmp_path: Path, through: str) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write(fifo if through == "itself" else link)
    assert os.read(reader, 100) == NEW and fifo.is_fifo()
    os.close(reader)


def test_a_device_is_written_into(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.open("wb").close()
    except PermissionError:
        device = Path("/dev/null")  # nobody but root could replace it
    write(device)
    assert device.is_char_device()


@pytest.mark.parametrize("of", ["/proc/self/fd", "/dev/fd", "/proc/thread-self/fd", "a link"])
def test_a_descriptor_goes_on_where_it_stands(tmp_path: Path, of: str) -> None:
    """As of `storage get KEY -o /dev/stdout >> log`: no other file takes the place of the open one."""
    log = tmp_path / "log"
    log.write_bytes(b"before, ")
    with log.open("ab") as opened:
        inode, name = log.stat().st_ino, f"{of}/{opened.fileno()}"
        if of == "a link":
            (tmp_path / "link").symlink_to(f"/proc/self/fd/{opened.fileno()}")
            name = str(tmp_path / "link")
        write(name)
    assert (log.read_bytes(), log.stat().st_ino) == (b"before, " + NEW, inode)


@pytest.mark.parametrize(
    ("name", "said"),
    [("no/such", "Create it: mkdir -p .*/no$"), (".", "is a folder"), ("circle", "cannot be written: .*oop")],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UsageError, match=said):
        write(tmp_path / name)
    assert names(tmp_path) == ["circle"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_is_write_protected_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").touch(mode=0o400)
    with pytest.raises(UsageError, match="may not be written by this user"):
        write(tmp_path / "mine")


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        with pytest.raises(ZeroDivisionError), sink(str(tmp_path / name)) as file:
            file.write(NEW)
            raise ZeroDivisionError
    assert names(tmp_path) == ["old"] and (tmp_path / "old").read_bytes() == b"old"
