"""Keep pytest from collecting the templates of a new capability: their tests run in a copy of the project."""

collect_ignore = ["new_capability"]
