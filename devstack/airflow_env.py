"""Environment variables of the Airflow components."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import ports
from devstack.buckets import BACKUPS, MAINTENANCE, VIDEOS
from devstack.credentials import Credentials
from devstack.objectstore import ObjectStore
from devstack.postgres import Postgres

PROJECT = Path(__file__).resolve().parent.parent
ADMIN = "admin"
AIRFLOW_DATABASE = "airflow"
STORAGE_DATABASE, STORAGE_USER = "transcode_db", "transcode_user"


@dataclass(frozen=True)
class Backends:
    """Servers, credentials and folders that Airflow and the platform use."""

    store: ObjectStore
    postgres: Postgres
    credentials: Credentials
    temp: Path
    tiers: str = ""


#: The sample's clips are small: without `smallest=0` no tier would accept them. The prices are an example.
COLD = {"cold_rules": "all smallest=0", "prices": "EUR hot=0.021 warm=0.011 cold=0.004/90"}


def storage_env(backends: Backends) -> dict[str, str]:
    """Return the STORAGE_* variables that point the platform at this stack."""
    store, postgres = backends.store, backends.postgres
    tiers = {"STORAGE_TIERS": backends.tiers} if backends.tiers else {}
    cold = {f"STORAGE_{name.upper()}": value for name, value in COLD.items()}
    return (
        tiers
        | cold
        | {
            "STORAGE_ENDPOINT_URL": store.endpoint_url,
            "STORAGE_REGION": store.region,
            "STORAGE_ACCESS_KEY": store.access_key,
            "STORAGE_SECRET_KEY": store.secret_key,
            "STORAGE_BUCKET": VIDEOS,
            "STORAGE_BACKUP_BUCKET": BACKUPS,
            "STORAGE_MAINTENANCE_BUCKET": MAINTENANCE,
            "STORAGE_DATABASE_URL": postgres.dsn(
                STORAGE_DATABASE, STORAGE_USER, backends.credentials.database_password
            ),
            "STORAGE_TEMP_DIR": str(backends.temp),
        }
    )


def connections(backends: Backends) -> dict[str, str]:
    """Return the platform's Airflow connections as environment variables."""
    store, postgres = backends.store, backends.postgres
    extra = {
        "endpoint_url": store.endpoint_url,
        "region_name": store.region,
        "bucket": VIDEOS,
        "maintenance_bucket": MAINTENANCE,
        "backup_bucket": BACKUPS,
        "temp_dir": str(backends.temp),
        **({"tiers": backends.tiers} if backends.tiers else {}),
        **COLD,
    }
    s3 = {"conn_type": "aws", "login": store.access_key, "password": store.secret_key, "extra": extra}
    database = {
        "conn_type": "postgres",
        "host": postgres.host,
        "port": postgres.port,
        "schema": STORAGE_DATABASE,
        "login": STORAGE_USER,
        "password": backends.credentials.database_password,
    }
    return {"AIRFLOW_CONN_STORAGE_S3": json.dumps(s3), "AIRFLOW_CONN_STORAGE_DB": json.dumps(database)}


def environment(
    home: Path, backends: Backends, *, port: int, log_port: int, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of the components and of the `airflow` command.

    `extra` overrides the defaults (folders, parallelism, pausing) but not the fixed settings (addresses,
    secrets, the database).
    """
    env = _inherited(backends)
    env |= _choices() | dict(extra or {}) | connections(backends)
    return env | _fixed(home, backends, port, log_port)


def _inherited(backends: Backends) -> dict[str, str]:
    # Settings of another Airflow or store in the caller's shell must not leak into this one.
    foreign = set(storage_env(backends)) | {"PYTHONPATH", "STORAGE_TIERS"}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and name not in foreign
    }


def _choices() -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "3600",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _fixed(home: Path, backends: Backends, port: int, log_port: int) -> dict[str, str]:
    credentials = backends.credentials
    address = f"http://{ports.HOST}:{port}"
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "devstack" / "airflow_config")]),
        "NO_PROXY": f"{ports.HOST},localhost",
        "no_proxy": f"{ports.HOST},localhost",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": credentials.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": backends.postgres.dsn(
            AIRFLOW_DATABASE, AIRFLOW_DATABASE, credentials.airflow_database_password
        ),
        "AIRFLOW__API__HOST": ports.HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__SECRET_KEY": credentials.jwt_secret[:32],
        "AIRFLOW__API_AUTH__JWT_SECRET": credentials.jwt_secret,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        # No server listens there (see COMPONENTS). Our own port avoids reaching another Airflow's log server.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_port),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": ports.HOST,
    }
