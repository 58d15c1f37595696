"""Plan-and-apply engine, the only code path that changes or deletes anything."""
