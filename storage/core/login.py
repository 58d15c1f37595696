"""Login at the object store: keys of the settings, or where to look for keys."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from storage.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Login:
    """Keys, a profile, or neither for botocore's usual places; with ``role_arn`` these assume the role.

    ``role_options`` is a JSON object of further AssumeRole arguments. With ``role_token_file`` the web
    identity token in that file assumes the role. Raises ConfigError for a combination that has no meaning.
    """

    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""
    role_arn: str = ""
    role_options: str = ""
    role_token_file: str = ""

    def __post_init__(self) -> None:
        if bool(self.access_key) != bool(self.secret_key):
            raise ConfigError("Set both STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY, or neither.")
        if self.session_token and not self.access_key:
            raise ConfigError("STORAGE_SESSION_TOKEN needs STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY.")
        if self.profile and self.access_key:
            raise ConfigError("Set STORAGE_PROFILE, or STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY, not both.")
        if (self.role_options or self.role_token_file) and not self.role_arn:
            raise ConfigError("STORAGE_ROLE_OPTIONS and STORAGE_ROLE_TOKEN_FILE need STORAGE_ROLE_ARN.")
        _ = self.assume_role_arguments

    @property
    def fixed(self) -> bool:
        """Return True if the keys are used as they are."""
        return bool(self.access_key) and not self.role_arn

    @property
    def assume_role_arguments(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.role_options or "{}"))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                'STORAGE_ROLE_OPTIONS is not a JSON object; it must look like {"ExternalId": "..."}.'
            ) from error
