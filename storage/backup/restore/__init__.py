"""Restores: beside the live database, in its place, in part; and reconciliation afterwards."""
