"""Absence of secrets: from the screen, plans, tables and the arguments of processes."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from storage.core.clock import utcnow
from tests.conftest import Place
from tests.support.command_line import ROOT, Answer, bare, environment, rows, run_ahead, shell

CANARY = "canary-Zx81"


@pytest.fixture
def env(place: Place) -> dict[str, str]:
    return environment(place.settings)


@pytest.fixture
def secrets(place: Place) -> tuple[str, ...]:
    """Return the strings that must appear nowhere: the environment's real secrets and the canary."""
    return place.settings.secret_key, str(make_url(place.settings.database_url).password), CANARY


def clean(answer: Answer, secrets: tuple[str, ...]) -> None:
    for secret in secrets:
        assert secret not in answer.out + answer.err


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_commands_plans_and_tables(
    place: Place, env: Mapping[str, str], secrets: tuple[str, ...], add_job: Callable[..., None]
) -> None:
    """A probe, a run and its plan leave no secret on the screen, in the bucket or in the database."""
    add_job("old", "failed", utcnow() - timedelta(days=10))
    place.put("processed/old/a.mp4")
    for argv in (("probe", "--json"), ("run", "cleanup_failed_jobs"), ("status", "--json")):
        answer = shell(env, *argv)
        assert answer.code == 0, answer.err
        clean(answer, secrets)
    run = run_ahead(place, "cleanup_failed_jobs", only_plan=True)
    assert run.state == "planned"
    kept = plans(place) + tables(place)
    assert "processed/old/a.mp4" in kept
    assert not [secret for secret in secrets if secret in kept]


def plans(place: Place) -> str:
    bucket, found = place.settings.maintenance_bucket, []
    for one in place.boto.list_objects_v2(Bucket=bucket).get("Contents", ()):
        body = place.boto.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        found.append(gzip.decompress(body).decode() if one["Key"].endswith(".gz") else repr(body))
    return "\n".join(found)


def tables(place: Place) -> str:
    names = rows(place, "SELECT tablename FROM pg_tables WHERE schemaname = 'maintenance'")
    assert len(names) >= 8
    return "\n".join(
        str(row) for (name,) in names for row in rows(place, f"SELECT t::text FROM maintenance.{name} AS t")
    )


@pytest.mark.parametrize("place", ["minio"], indirect=True)
def test_failures(place: Place, env: Mapping[str, str], secrets: tuple[str, ...]) -> None:
    """An error caused by a secret is reported without the secret."""
    url = make_url(env["STORAGE_DATABASE_URL"]).set(password=CANARY).render_as_string(hide_password=False)
    for wrong, code in (
        ({"STORAGE_SECRET_KEY": CANARY}, 6),
        ({"STORAGE_DATABASE_URL": url}, 6),
        ({"STORAGE_DATABASE_URL": f"postgresql://me:{CANARY}@db:port/x"}, 2),
        ({"MINIO_SECRET_KEY": CANARY}, 2),
    ):
        answer = shell({**env, **wrong}, "run", "reap")
        assert answer.code == code, answer.err
        clean(answer, secrets)
        assert "Traceback" not in answer.err


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_arguments_of_the_running_process(env: Mapping[str, str], secrets: tuple[str, ...]) -> None:
    """A listing of processes shows no secret."""
    command = [sys.executable, "-m", "storage", "probe", "--json"]
    process = subprocess.Popen(command, env=bare() | dict(env), cwd=ROOT, stdout=subprocess.PIPE)
    seen = set()
    while process.poll() is None:
        seen.add(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
    process.communicate()
    assert process.returncode == 0
    assert any("storage" in line for line in seen)
    assert not [secret for secret in secrets for line in seen if secret in line]
