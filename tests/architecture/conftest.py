"""Exclusion of the new capability's templates from collection: their tests run in a copy of the project."""

collect_ignore = ["new_capability"]
