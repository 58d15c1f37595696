"""The local stack's building blocks, with real small processes and files."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import minio_build, objectstore, ports, state
from devstack.airflow import Airflow
from devstack.credentials import load_or_create
from devstack.errors import DevstackError, ProgramMissing, ServerDied
from devstack.process import Process, base_env, end_strays, start_process, wait_ready, wait_until, writers

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def sleeper(folder: Path, argv: list[str] = SLEEP) -> Process:
    return start_process(argv, env=base_env(folder), cwd=folder, log=folder / "server.out")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    return path


def test_a_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    assert process.alive()
    process.stop()
    assert not process.alive()


def test_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    boot, _, ticks = process.identity.partition(":")
    for identity in (f"{boot}:{int(ticks) - 1}", f"other:{ticks}"):
        earlier = replace(process, identity=identity)
        assert not earlier.alive()
        earlier.stop()
        assert process.alive()
    process.stop()


def test_stop_takes_what_a_killed_leader_left_in_its_session(tmp_path: Path) -> None:
    code = f"import subprocess, time; subprocess.Popen({SLEEP!r}); time.sleep(60)"
    leader = sleeper(tmp_path, [sys.executable, "-c", code])
    assert wait_until(lambda: len(leader.members()) == 2, 10)
    leader.send(signal.SIGKILL)
    assert wait_until(lambda: not leader.alive(), 10)
    assert len(leader.members()) == 1
    leader.stop()
    assert leader.members() == []


def test_strays_are_ended_and_known_servers_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "lost").mkdir()
    kept, lost = sleeper(tmp_path / "kept"), sleeper(tmp_path / "lost")
    assert sorted(writers(tmp_path)) == sorted([kept.pid, lost.pid])
    assert end_strays(tmp_path, [kept]) == [lost.pid]
    assert kept.alive()
    assert not lost.alive()
    kept.stop()


def test_a_server_that_dies_at_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    process = sleeper(tmp_path, ["sh", "-c", "echo no such luck; exit 1"])
    with pytest.raises(ServerDied, match="no such luck"):
        wait_ready("thing", process, lambda: False, tmp_path / "server.out", 20)


def test_a_taken_port_is_replaced_by_a_free_one_below_the_ephemeral_range() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        taken = server.getsockname()[1]
        assert not ports.is_free(taken)
        chosen = ports.choose(taken)
    assert chosen != taken
    assert ports.FIRST <= chosen <= ports.LAST < 32768
    assert ports.choose(chosen) == chosen


def test_credentials_are_private_and_remain_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = load_or_create(folder)
    assert load_or_create(folder) == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "credentials.json").stat().st_mode) == 0o600
    assert len(first.jwt_secret) >= 64
    assert first.secret_key not in repr(first)


def test_broken_credentials_name_the_way_out(tmp_path: Path) -> None:
    load_or_create(tmp_path / "secrets")
    (tmp_path / "secrets" / "credentials.json").write_text("{}")
    with pytest.raises(DevstackError, match="devstack reset"):
        load_or_create(tmp_path / "secrets")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a machine without any object store: empty PATH, empty cache, no ministack."""
    monkeypatch.delenv("STORAGE_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MINISTACK_BIN", str(tmp_path / "ministack"))
    return tmp_path


def test_the_store_is_resolved_in_order(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare / "ministack")
    assert objectstore.resolve("auto") == "ministack"
    built = program(minio_build.cache_folder() / "minio")
    assert objectstore.resolve("auto") == "minio"
    assert objectstore.minio_program() == built
    on_path = program(bare / "bin" / "minio")
    assert objectstore.minio_program() == on_path
    silo = program(bare / "bin" / "silo")
    assert objectstore.minio_program() == silo
    monkeypatch.setenv("STORAGE_ENDPOINT_URL", "http://127.0.0.1:9")
    assert objectstore.resolve("auto") == "external"
    assert objectstore.resolve("ministack") == "ministack"


def test_a_missing_store_names_the_command_that_brings_it(bare: Path) -> None:
    with pytest.raises(ProgramMissing, match="make tools"):
        objectstore.resolve("minio")
    with pytest.raises(ProgramMissing, match="MINISTACK_BIN"):
        objectstore.resolve("ministack")
    with pytest.raises(ProgramMissing, match="no versitygw; run `make tools`"):
        objectstore.start("versitygw", bare / "data", access_key="a", secret_key="b")
    with pytest.raises(DevstackError, match="unknown store"):
        objectstore.resolve("floppy")


def test_a_store_that_cannot_start_is_an_error_not_a_hang(bare: Path) -> None:
    program(bare / "ministack")
    with pytest.raises(ServerDied, match="ministack ended while starting"):
        objectstore.start("ministack", bare / "data", access_key="a", secret_key="b")


def test_a_built_minio_is_not_built_again(bare: Path) -> None:
    built = program(minio_build.cache_folder() / "minio")
    assert minio_build.build() == built


def test_the_state_file_survives_a_round_trip_and_holds_no_secret(tmp_path: Path) -> None:
    credentials = load_or_create(tmp_path / "secrets")
    process = Process.of(os.getpid())
    store = objectstore.ObjectStore(
        "ministack", "http://127.0.0.1:20001", credentials.access_key, credentials.secret_key, "us-east-1",
        "1", objectstore.EMULATED["ministack"], tmp_path / "object-store", process,
    )  # fmt: skip
    airflow = Airflow(tmp_path / "airflow", 20002, 20003, "3", "abc", {"scheduler": process})
    record = state.Record(store=store, airflow=airflow)
    state.save(tmp_path, record)
    assert state.load(tmp_path, credentials) == (record, "")
    assert credentials.secret_key not in state.path_of(tmp_path).read_text()
    assert credentials.secret_key not in repr(record)


def test_an_unreadable_state_file_is_set_aside(tmp_path: Path) -> None:
    credentials = load_or_create(tmp_path / "secrets")
    state.path_of(tmp_path).write_text('{"format": 1, "store"')
    record, problem = state.load(tmp_path, credentials)
    assert record == state.Record()
    assert "state.broken" in problem
    assert (tmp_path / "state.broken").exists()


def test_commands_without_a_stack_say_how_to_start_one(tmp_path: Path) -> None:
    home = tmp_path / "nothing"
    command = [sys.executable, "-m", "devstack", "env", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "python -m devstack up" in done.stderr
    assert "Traceback" not in done.stderr
    assert not home.exists()
