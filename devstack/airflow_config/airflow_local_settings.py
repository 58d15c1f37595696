"""Client libraries, loaded once by the scheduler: its tasks are forked and would each load them anew.

A task of the platform then takes a second of CPU less. The platform's own modules are not among them, so that
a running stack takes up edited code.
"""

import boto3  # noqa: F401
import minio  # noqa: F401
import psycopg2  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg2  # noqa: F401
from airflow.providers.amazon.aws.hooks import base_aws  # noqa: F401
from airflow.providers.postgres.hooks import postgres  # noqa: F401

__all__: list[str] = []  # none of these becomes a setting of Airflow
