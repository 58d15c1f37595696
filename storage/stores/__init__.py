"""Shared adapters of the stores on minio, boto3, sqlalchemy and psycopg2."""
