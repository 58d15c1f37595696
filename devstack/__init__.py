"""A local development stack of real servers on the loopback interface, without containers.

An S3 object store, a PostgreSQL server and the four Airflow components run as ordinary processes on
this machine, for the demo and for the tests. ``python -m devstack up`` starts them.
"""
