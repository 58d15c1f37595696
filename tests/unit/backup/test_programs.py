"""Choice of the PostgreSQL programs: those of the server's major version, and of these the newest."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from storage.backup.errors import NoPostgresProgram
from storage.backup.postgres import programs as pg_programs
from storage.backup.postgres.child_process import PIPE, spawn, widen


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a machine without any PostgreSQL."""
    monkeypatch.setattr(
        pg_programs, "PROGRAM_FOLDERS", ((str(tmp_path / "debian"), "*/bin"), (str(tmp_path), "pgsql-*/bin"))
    )
    monkeypatch.setattr(pg_programs, "_wheel", lambda: [tmp_path / "wheel"])
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("PG_BINDIR", raising=False)
    return tmp_path


def install(folder: Path, version: str, *programs: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in programs or ("pg_dump", "initdb", "postgres"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_servers_own_major(machine: Path) -> None:
    for major, version in ((14, "14.9"), (15, "15.3"), (16, "16.1")):
        install(machine / "debian" / str(major) / "bin", version)
    assert pg_programs.client("pg_dump", 15) == machine / "debian/15/bin/pg_dump"


def test_of_one_major_the_newest_minor(machine: Path) -> None:
    install(machine / "debian/15/bin", "15.9")
    newest = install(machine / "pgsql-15/bin", "15.18")
    install(machine / "wheel", "15.2")
    assert pg_programs.client("pg_dump", 15) == newest / "pg_dump"


def test_of_equals_the_one_that_was_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("debian/15/bin", "wheel", "path", "named"):
        install(machine / place, "15.1")
    monkeypatch.setenv("PG_BINDIR", str(machine / "named"))
    assert pg_programs.client("pg_dump", 15) == machine / "named/pg_dump"
    assert pg_programs.server() == machine / "named"


@pytest.mark.parametrize("there", ["14.9", "16.1", "18.0"])
def test_neither_an_older_nor_a_newer_client(machine: Path, there: str) -> None:
    """An older client refuses the server; a newer client's dump cannot be restored into so old a server."""
    install(machine / "wheel", there)
    with pytest.raises(NoPostgresProgram, match=rf"pg_dump for version 15 .*{there} in {machine}/wheel"):
        pg_programs.client("pg_dump", 15)


def test_none_at_all(machine: Path) -> None:
    with pytest.raises(NoPostgresProgram, match="found: none"):
        pg_programs.client("pg_dump", 15)
    with pytest.raises(NoPostgresProgram, match="found: none"):
        pg_programs.server()


def test_a_program_that_does_not_run_is_none(machine: Path) -> None:
    (install(machine / "wheel", "15.1") / "pg_dump").write_text("#!/nowhere/sh\n")
    install(machine / "path", "pgpool 4")
    for program in ("pg_dump", "pg_restore"):
        with pytest.raises(NoPostgresProgram):
            pg_programs.client(program, 15)


def test_beta_versions_and_distributors_words(machine: Path) -> None:
    install(machine / "path", "19beta1 (Debian 19~beta1-1)")
    assert pg_programs.client("pg_dump", 19) == machine / "path/pg_dump"
    assert pg_programs.version(machine / "path/pg_dump") == (19, 0)


def test_a_server_is_not_taken_from_the_wheel_while_there_is_another(machine: Path) -> None:
    install(machine / "wheel", "18.6")
    assert pg_programs.server() == machine / "wheel"
    install(machine / "debian/15/bin", "15.1")
    assert pg_programs.server() == machine / "debian/15/bin"
    assert pg_programs.server(18) == machine / "wheel"
    with pytest.raises(NoPostgresProgram, match="version 17"):
        pg_programs.server(17)


def test_a_folder_of_clients_is_no_server(machine: Path) -> None:
    install(machine / "debian/15/bin", "15.1", "pg_dump", "initdb")
    with pytest.raises(NoPostgresProgram):
        pg_programs.server()


def test_a_named_folder_decides_alone_for_the_server(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(machine / "debian/15/bin", "15.1")
    monkeypatch.setenv("PG_BINDIR", str(machine / "nothing"))
    with pytest.raises(NoPostgresProgram):
        pg_programs.server()
    assert pg_programs.client("pg_dump", 15) == machine / "debian/15/bin/pg_dump"


def test_programs_speak_english_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their messages decide whether a failure is the machine's; they get no variable they do not need."""
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("STORAGE_SECRET_KEY", "hush")
    done = spawn(["/usr/bin/env"], stdout=subprocess.PIPE, env={"MORE": "1"})
    answer = dict(line.split("=", 1) for line in done.communicate()[0].decode().splitlines())
    assert answer["LC_MESSAGES"] == "C"
    assert answer["MORE"] == "1"
    assert not {"LC_ALL", "STORAGE_SECRET_KEY"} & answer.keys()


def test_a_pipe_is_widened_and_nothing_else_minds(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        widen(pipe)
        assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) >= min(PIPE, most())
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file:
        widen(file)


def most() -> int:
    """Return the largest pipe size that the kernel grants."""
    return int(Path("/proc/sys/fs/pipe-max-size").read_text())
