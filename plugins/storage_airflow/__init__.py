"""Adapter between Airflow and the storage package; the only package that imports both. Holds no logic."""
