"""Adapters: the only importers of minio, boto3, sqlalchemy and psycopg2."""
