"""Restoring: beside the live database, in its place, in part; and reconciling afterwards."""
