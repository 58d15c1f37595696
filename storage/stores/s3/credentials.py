"""Credentials found by botocore: environment, profile, role, web identity, container or instance.

They are asked for again before every request, because botocore renews those that expire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import botocore.session
from botocore import credentials as known
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.loaders import Loader, create_loader
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider

from storage.core.errors import NoCredentials, TransientFault, Unreachable
from storage.core.login import Login

_WHO = "The service that issues the credentials"


class Keys(known.Credentials):
    """Credentials that look for their keys at each use, and raise the platform's errors."""

    def __init__(self, find: Callable[[], Any]) -> None:
        super().__init__("", "")
        self._find = find

    def get_frozen_credentials(self) -> known.ReadOnlyCredentials:
        """Return the current keys. Raises NoCredentials; Unreachable or TransientFault if renewal fails."""
        with _explained():
            if (found := self._find()) is None:
                raise NoCredentials("neither the settings nor botocore's usual places have any")
            now: known.ReadOnlyCredentials = found.get_frozen_credentials()
            return now


class BotocoreProvider(Provider):
    """Provider of botocore's credentials for minio-py, which calls it for each request."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def retrieve(self) -> Credentials:
        now = self._keys.get_frozen_credentials()
        return Credentials(now.access_key or "", now.secret_key or "", now.token)


@lru_cache(maxsize=8)
def keys(login: Login, region: str, ca_file: str) -> Keys:
    """Return the credentials of a login, shared by all clients of this process: a role is assumed once."""
    session = _session(login.profile, region, ca_file)
    if login.access_key:
        session.set_credentials(login.access_key, login.secret_key, login.session_token or None)
    if not login.role_arn:
        return Keys(session.get_credentials)
    return Keys(_assumed(login, session))


def of_provider(provider: Provider) -> Keys:
    """Return the credentials of an application's minio client."""
    return Keys(lambda: _Frozen(provider.retrieve()))


def session_of(keys: Keys, region: str) -> botocore.session.Session:
    """Return a session that signs with ``keys`` alone: a profile named in the environment is not read."""
    session = botocore.session.Session({"profile": (None, None, None, None)})
    session.set_config_variable("region", region)
    session.register_component("credential_provider", _Only(keys))
    session.register_component("data_loader", _models())
    return session


@cache
def _models() -> Loader:
    """Return a loader of service models that all sessions share: parsing one costs 0.1 s."""
    return create_loader()


class _Only:
    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def load_credentials(self) -> Keys:
        return self._keys


class _Frozen:
    def __init__(self, now: Credentials) -> None:
        self._now = now

    def get_frozen_credentials(self) -> known.ReadOnlyCredentials:
        now = self._now
        return known.ReadOnlyCredentials(now.access_key, now.secret_key, now.session_token)


def _session(profile: str, region: str, ca_file: str) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile or None)
    session.set_config_variable("region", region)
    if ca_file:
        session.set_config_variable("ca_bundle", ca_file)
    return session


def _assumed(login: Login, session: botocore.session.Session) -> Callable[[], Any]:
    """Return a function that gives the credentials of the role, which renew themselves."""
    client, role, words = session.create_client, login.role_arn, login.assume_role_arguments
    fetcher: known.BaseAssumeRoleCredentialFetcher
    if login.role_token_file:
        load = known.FileWebIdentityTokenLoader(login.role_token_file)
        fetcher = known.AssumeRoleWithWebIdentityCredentialFetcher(client, load, role, words)
    else:
        source = Keys(session.get_credentials)
        fetcher = known.AssumeRoleCredentialFetcher(client, source, role, words)
    renewing = known.DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")
    return lambda: renewing


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        raise NoCredentials(
            f"{error.operation_name}: {answer.get('Code')}: {answer.get('Message')}"
        ) from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise Unreachable(_WHO, str(error)) from error
    except (CredentialRetrievalError, MetadataRetrievalError) as error:
        raise TransientFault(_WHO, str(error)) from error
    except (BotoCoreError, OSError, RuntimeError) as error:
        raise NoCredentials(str(error).rstrip(".")) from error
