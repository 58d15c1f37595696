"""The command-line interface: one module per command, with its parser and its output."""
