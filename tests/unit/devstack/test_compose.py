"""The compose file, as far as it can be checked without a container engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[3]
FILE = PROJECT / "docker-compose.airflow.yml"
TEXT = FILE.read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
AIRFLOW = {name: one for name, one in SERVICES.items() if name.startswith("airflow-")}
#: Services that run once, or are started by hand: they have no health check.
ONCE = {"airflow-init", "buckets", "cold-tier", "storage"}
VARIABLE = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")
SECRET = re.compile(
    r"PASSWORD|SECRET|FERNET|ROOT_USER|ACCESS_KEY|_CONN_|SQL_ALCHEMY_CONN|DATABASE_URL|BACKEND$"
)


def filled(value: str) -> str:
    """Return the value as compose would fill it in: defaults where given, else the variable's name."""
    return VARIABLE.sub(lambda m: m[3] if m[2] == ":-" else m[1], value)


def variables() -> Iterator[tuple[str, str, str]]:
    yield from ((m[1], m[2] or "", m[3]) for m in VARIABLE.finditer(TEXT))


def example() -> dict[str, str]:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def test_it_satisfies_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_required_variable_is_in_the_example_and_empty_there() -> None:
    required = {name for name, kind, _ in variables() if kind == ":?"}
    assert required == set(example())
    assert set(example().values()) == {""}


def test_every_variable_is_required_or_has_a_default_that_the_example_tells() -> None:
    answer = (PROJECT / ".env.example").read_text()
    for name, kind, default in variables():
        assert kind, f"{name} would silently be empty"
        if kind == ":-":
            assert f"# {name}={default}" in answer.splitlines()


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_only(service: str) -> None:
    for port in SERVICES[service].get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned(service: str) -> None:
    image = filled(SERVICES[service]["image"])
    name, colon, tag = image.rsplit("/", 1)[-1].partition(":")
    assert name and colon and tag and not tag.startswith("latest"), image


def test_the_object_store_is_pinned_by_digest() -> None:
    assert re.fullmatch(r".+:[\w.-]+@sha256:[0-9a-f]{64}", filled(SERVICES["object-store"]["image"]))


@pytest.mark.parametrize("service", [*AIRFLOW, "storage"])
def test_airflow_has_both_connections(service: str) -> None:
    environment = SERVICES[service]["environment"]
    store = json.loads(filled(environment["AIRFLOW_CONN_STORAGE_S3"]))
    assert store["conn_type"] == "aws"
    assert {
        "endpoint_url",
        "region_name",
        "bucket",
        "maintenance_bucket",
        "backup_bucket",
        "temp_dir",
        "tiers",
    } == set(store["extra"])
    assert json.loads(filled(environment["AIRFLOW_CONN_STORAGE_DB"]))["conn_type"] == "postgres"


@pytest.mark.parametrize("service", [*AIRFLOW, "storage"])
def test_the_code_is_mounted_read_only_and_the_temp_folder_is_there(service: str) -> None:
    volumes = [filled(one) for one in SERVICES[service]["volumes"]]
    for folder in ("dags", "plugins", "storage", "sql"):
        assert f"./{folder}:/opt/airflow/project/{folder}:ro" in volumes
    assert "temp:/data/temp" in volumes


@pytest.mark.parametrize("service", sorted(set(SERVICES) - ONCE))
def test_what_runs_for_ever_has_a_health_check_and_is_restarted(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_can_gain_rights(service: str) -> None:
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICES[service].get("privileged")


@pytest.mark.parametrize("service", SERVICES)
def test_no_password_is_written_down(service: str) -> None:
    for name, value in (SERVICES[service].get("environment") or {}).items():
        if SECRET.search(name):
            assert ":?" in value, name
            assert ":-" not in re.sub(r"_(BUCKET|TIERS):-", "", value), name
        assert not re.search(r"://[^:/]+:(?!\$\{)[^@/]+@", value), name


def test_only_required_variables_hold_secrets() -> None:
    for name, kind, _ in variables():
        if re.search(r"PASSWORD|SECRET|FERNET|ACCESS_KEY", name):
            assert kind == ":?", name


def test_nobody_asks_airflow_jobs_check() -> None:
    for service in SERVICES.values():
        assert "jobs check" not in " ".join(service.get("healthcheck", {}).get("test", ()))


def test_inline_programs_are_python() -> None:
    for name in ("provision", "tier"):
        content = yaml.safe_load(TEXT)["configs"][name]["content"]
        compile(content.replace("$$", "$"), f"{name}.py", "exec")


def test_the_second_store_is_started_only_where_it_is_asked_for() -> None:
    tiering = {name for name, one in SERVICES.items() if "tiering" in one.get("profiles", ())}
    assert tiering == {"cold-store", "cold-tier"}
    assert "ports" not in SERVICES["cold-store"]
