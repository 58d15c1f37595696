"""Errors of lifecycle rules."""

from __future__ import annotations

from storage.core.errors import EXIT_REFUSED, EXIT_WAITS, Refused, StorageError, UsageError


class LifecycleUnreadable(StorageError):
    """The bucket's lifecycle configuration cannot be read: {0}."""

    next_step = "Nothing was changed. Inspect and correct it with another client."


class RulesRefused(Refused):
    """Refused by the linter of lifecycle rules: {0}."""


class LifecycleChanged(StorageError):
    """Another client has changed the bucket's lifecycle configuration: {0}."""

    exit_code = EXIT_REFUSED
    next_step = "That change was not undone. Review it (`storage lifecycle show`), then plan again."


class LifecycleNotHeld(StorageError):
    """The store does not keep the lifecycle configuration that it is sent: {0}."""

    next_step = "The previous configuration was restored."


class LifecycleNotRestored(StorageError):
    """The new lifecycle configuration failed, and the previous one could not be restored: {0}."""

    next_step = (
        "The previous one is in `storage lifecycle history`. Check the bucket's rules now, and restore it by "
        "hand."
    )


class LifecycleNotApproved(StorageError):
    """The plan has rules that delete outside the engine, and waits for approval: {0}."""

    exit_code = EXIT_WAITS
    next_step = "Review it (`storage lifecycle plan`), then run `storage lifecycle apply --approve SHA256`."


class LifecycleDrifted(StorageError):
    """The bucket's lifecycle rules differ from the declared ones: {0}."""

    next_step = "`storage lifecycle plan` shows the difference, `storage lifecycle apply` corrects it."


class NoSuchRule(UsageError):
    """There is no rule {0!r} that is applied on request."""

    next_step = "`storage lifecycle plan` shows the existing ones."


class NoSuchVersion(UsageError):
    """There is no version {0} of this bucket's lifecycle configuration."""

    next_step = "`storage lifecycle history` lists them."
