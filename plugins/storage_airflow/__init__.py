"""The only package that knows Airflow and the storage package: it translates, and only translates."""
