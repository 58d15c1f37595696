"""The PostgreSQL adapters that more than one capability uses."""
