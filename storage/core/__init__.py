"""Shared values, errors, settings and protocols; every other package builds on them."""
