"""Backups: taken as streams, proven by restoring them, kept by a rule, and brought back."""
