"""The one path by which anything is changed or deleted."""
