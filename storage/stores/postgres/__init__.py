"""PostgreSQL adapters used by more than one capability."""
