"""Machine of the backup fault campaign, and the faults injected into it during backups."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from devstack import postgres
from devstack.postgres import Postgres
from devstack.process import Process
from devstack.stack import server_folder
from tests.faults import disk
from tests.faults.effects import Mode

SERVER_MIB, TEMP_MIB = 512, 256
AMID = 0.02  # seconds after a program's first socket


@dataclass
class Machine:
    """A database server, and the temp folder for downloaded parts and throw-away servers.

    The faulted child restarts the server, so its process is found by its folder, not by ``server``.
    """

    server: Postgres
    temp: Path
    _meanwhile: list[threading.Thread] = field(default_factory=list)

    def befall(self, mode: Mode, program: subprocess.Popen[bytes] | None) -> None:
        """Inject the fault: called in the child just before the effect or once its program has started."""
        if mode == "disk full":
            disk.fill(self.server.folder)
        elif mode == "temp full":
            disk.fill(self.temp)
        elif mode == "outage":
            self._stop(signal.SIGINT)
        elif program is None:
            self._restart()
        else:
            self._meanwhile.append(threading.Thread(target=self._restart_under, args=(program,)))
            self._meanwhile[-1].start()

    def _restart(self) -> None:
        """Restart as after a crash: sessions get no notice, and the server recovers when it starts."""
        self._stop(signal.SIGQUIT)
        self._start()

    def _restart_under(self, program: subprocess.Popen[bytes]) -> None:
        """Restart during the program's requests to the server; the program resumes when it is up again."""
        while program.poll() is None and not _has_socket(program.pid):
            time.sleep(0.001)
        threading.Event().wait(AMID)  # time.sleep is shortened in a child with a fault
        program.send_signal(signal.SIGSTOP)
        self._restart()
        program.send_signal(signal.SIGCONT)

    def _stop(self, number: int) -> None:
        for file in self.server.folder.glob("data-*/postmaster.pid"):
            Process.of(int(file.read_text().split()[0])).stop(number)

    def _start(self) -> None:
        postgres.start(self.server.folder, port=self.server.port, fsync=False)

    @contextmanager
    def injected(self) -> Iterator[None]:
        """Wrap the child's work: the child waits for the restarts that it has begun before it ends."""
        try:
            yield
        finally:
            for thread in self._meanwhile:
                thread.join()

    def mend(self) -> None:
        """Free the disks, and start the server if it is down."""
        disk.clear(self.server.folder)
        disk.clear(self.temp)
        if not self._answers():
            self._start()

    def _answers(self) -> bool:
        with suppress(psycopg2.OperationalError), self.server.connect():
            return True
        return False

    def tidy(self) -> None:
        """Remove what killed processes left in the temp folder; the product does it when it next runs."""
        for one in self.temp.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()

    def left(self) -> list[str]:
        """Return the names in the temp folder."""
        return sorted(one.name for one in self.temp.iterdir())


def _has_socket(pid: int) -> bool:
    with suppress(OSError):  # a file that was just closed, or a process that has ended
        files = Path(f"/proc/{pid}/fd").iterdir()
        return any(str(one.readlink()).startswith("socket:") for one in files)
    return False


@contextmanager
def machine(home: Path) -> Iterator[Machine]:
    """Start a separate server, and a temp folder; each on a small disk where the kernel can mount one."""
    data = server_folder(home)
    temp = data.parent / "temp"  # in a folder that the server's account may enter
    temp.mkdir(parents=True)
    data.mkdir()
    try:
        with suppress(OSError):  # then no trial fills them
            disk.own_mounts()
            disk.mount(data, SERVER_MIB)
            disk.mount(temp, TEMP_MIB)
        server = postgres.start(data, fsync=False)
        with server.connect() as session, session.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET max_wal_size = '64MB'")  # its disk is small
            cursor.execute("SELECT pg_reload_conf()")
        yield Machine(server, temp)
    finally:
        postgres.end_leftovers(data)
        for folder in (data, temp):
            disk.unmount(folder)
        shutil.rmtree(data.parent, ignore_errors=True)
