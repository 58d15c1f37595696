"""Storage maintenance for an S3 object store and its PostgreSQL. Never imports Airflow."""
