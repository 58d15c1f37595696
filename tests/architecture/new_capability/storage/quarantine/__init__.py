"""Note objects that lie in quarantine for long."""
