"""Errors of lifecycle rules."""

from __future__ import annotations

from storage.core.errors import EXIT_REFUSED, EXIT_WAITS, Refused, StorageError, UsageError


class LifecycleUnreadable(StorageError):
    """The bucket's lifecycle configuration cannot be read: {0}."""

    next_step = "Nothing was changed. Look at it with another client, and mend it there."


class RulesRefused(Refused):
    """Refused by the linter of lifecycle rules: {0}."""


class LifecycleChanged(StorageError):
    """The bucket's lifecycle configuration is another by now: {0}."""

    exit_code = EXIT_REFUSED
    next_step = "Nothing of it was undone. Look (`storage lifecycle show`), then plan again."


class LifecycleNotHeld(StorageError):
    """The store does not keep what it is sent: {0}."""

    next_step = "The configuration that was there before stands again."


class LifecycleNotRestored(StorageError):
    """The new lifecycle configuration failed, and the one before could not be put back: {0}."""

    next_step = (
        "It is in `storage lifecycle history`. Look at the bucket's rules now, and put it back by hand."
    )


class LifecycleNotApproved(StorageError):
    """The plan has rules that delete outside the engine, and waits for approval: {0}."""

    exit_code = EXIT_WAITS
    next_step = "Read it (`storage lifecycle plan`), then `storage lifecycle apply --approve SHA256`."


class LifecycleDrifted(StorageError):
    """The bucket's lifecycle rules are not the declared ones: {0}."""

    next_step = "`storage lifecycle plan` shows the difference, `storage lifecycle apply` mends it."


class NoSuchRule(UsageError):
    """There is no rule {0!r} that is applied on request."""

    next_step = "`storage lifecycle plan` shows which there are."


class NoSuchVersion(UsageError):
    """There is no version {0} of this bucket's lifecycle configuration."""

    next_step = "`storage lifecycle history` lists them."
