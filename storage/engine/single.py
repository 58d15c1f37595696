"""A single action on behalf of an application: verbs and checks of a plan, without a plan file."""

from __future__ import annotations

import secrets

from storage.core.errors import Refused
from storage.core.model import PROTECTED_PREFIXES, Outcome, printable
from storage.engine import guard
from storage.engine.actions.base import Action, S, Work


def apply_one(action: Action[S], stores: S, *, by: str) -> Outcome:
    """Apply one action now, if its target is still as the action saw it; audit request and outcome.

    Returns the outcome: an object that was overwritten, or is referenced, is skipped. Raises Paused or
    Refused (another bucket or database than before, an open restore epoch, a protected prefix) before
    anything is done.
    """
    if action.touches == "object" and action.key.startswith(PROTECTED_PREFIXES):
        raise Refused("protected-prefix", f"{printable(action.key)} is protected; nothing may touch it.")
    guard.check_environment(stores, stores.clock())
    run_id = f"one-{stores.clock():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    asked = {"verb": action.verb, "key": action.key, "reason": action.reason, "by": by}
    stores.audit.record("act", run_id, asked)
    [outcome] = type(action).apply([action], Work(stores, run_id, "apply_one"))
    stores.audit.record("acted", run_id, asked | {"status": outcome.status, "detail": outcome.detail})
    return outcome
