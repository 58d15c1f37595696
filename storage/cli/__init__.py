"""The command line: one module a command, with its parser and what it shows."""
