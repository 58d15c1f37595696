"""Properties of a database itself, which no dump holds: given to the restored one, and proven by connecting.

A setting that breaks every new session (a library to preload that does not exist) would shut everybody out
of the database, and the undo as well. So each is tried before the exchange, and before the long restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from psycopg2 import sql

from storage.backup.errors import NotLikeLive
from storage.backup.postgres import swap, temporary_server
from storage.backup.postgres.swap import AdminConnection
from storage.core.errors import StorageError
from storage.stores.postgres.connection import Statements, translated

Setting = Mapping[str, Any]  # role ("" for the database's own), name, value, remedy


def rehearse(admin: AdminConnection, live: str, name: str, locale: Sequence[str]) -> None:
    """Give an empty database the properties of ``live``, and drop it: what fails, fails before a restore."""
    swap.make(admin, name, locale)
    try:
        place(admin, name, live)
        copy_database_settings(admin, name, live)
    finally:
        swap.remove(admin, name, force=True)


def place(admin: AdminConnection, new: str, live: str) -> None:
    """Move the empty database ``new`` to the tablespace of ``live``."""
    theirs, ours = (_rows(admin, "tablespace", name=name)[0]["name"] for name in (live, new))
    if theirs != ours:
        with translated():
            move = "ALTER DATABASE {} SET TABLESPACE {}"
            swap.do(admin.session, move, sql.Identifier(new), sql.Identifier(theirs))


def copy_database_settings(admin: AdminConnection, new: str, live: str) -> None:
    """Give ``new`` the owner, grants, limit, labels and settings of ``live``, and connect to it with these.

    Raises NotLikeLive, naming the setting, if it cannot be connected to, or is not like ``live`` afterwards;
    RightsMissing.
    """
    settings = _rows(admin, "settings", name=live)
    _try(admin, new, live, settings)
    named = Statements(admin.engine, "properties")
    with translated(), admin.engine.begin() as session:
        for row in named.rows_in(session, "statements", new=new, live=live):
            swap.do(session, "{}", sql.SQL(row["statement"]))
    _check_same(admin, new, live, settings)
    if why := _refusal(_url(admin, new), []):
        names = ", ".join(setting["name"] for setting in settings)
        raise NotLikeLive(live, f"with its settings ({names}) it cannot be connected to: {why}", "")


def _try(admin: AdminConnection, new: str, live: str, settings: Sequence[Setting]) -> None:
    """Connect to ``new`` with the settings of the database, and with those of each role that has its own.

    As options, which the server checks and applies at the start of a session like stored ones. Another
    role's settings are tried that way too: its password is not known, and SET SESSION AUTHORIZATION would
    not apply them.
    """
    url = _url(admin, new)
    for chosen in ([], *_by_session(settings)):
        if why := _refusal(url, chosen):
            raise NotLikeLive(live, *_culprit(url, chosen, why))


def _culprit(url: str, settings: Sequence[Setting], why: str) -> tuple[str, str]:
    """Return which setting refuses the session by itself, or that they do together; and the remedy."""
    for setting in settings:
        if alone := _refusal(url, [setting]):
            return _named(setting, alone), f"If it is not needed, run: {setting['remedy']}."
    remedies = "; ".join(setting["remedy"] for setting in settings)
    return f"it cannot be connected to ({why})", f"If its settings are not needed, run: {remedies}."


def _by_session(settings: Sequence[Setting]) -> Iterator[list[Setting]]:
    """Yield the settings that apply to a session of a role without its own, and of each one with its own.

    Without ``role``: whether a role may be assumed does not depend on the database.
    """
    usable = [setting for setting in settings if setting["name"] != "role"]
    for role in sorted({"", *(setting["role"] for setting in usable)}):
        own = {setting["name"]: setting for setting in usable if setting["role"] == role}
        shared = {setting["name"]: setting for setting in usable if not setting["role"]}
        yield list((shared | own).values())


def _named(setting: Setting, why: str) -> str:
    of = f" of the role {setting['role']}" if setting["role"] else ""
    return f"with the setting {setting['name']} = {setting['value']}{of} it cannot be connected to ({why})"


def _refusal(url: str, settings: Sequence[Setting]) -> str:
    """Return why a session with these settings cannot be opened; "" if it can."""
    options = " ".join(f"-c {setting['name']}={escaped(setting['value'])}" for setting in settings)
    try:
        with translated(), closing(temporary_server.session(url, options)) as session:
            session.cursor().execute("SELECT")
    except StorageError as error:
        return " ".join(str(error.args[-1]).split())
    return ""


def escaped(value: str) -> str:
    """Return a value as libpq's ``options`` take it: spaces and backslashes are escaped."""
    return "".join(f"\\{one}" if one.isspace() or one == "\\" else one for one in value)


def _check_same(admin: AdminConnection, new: str, live: str, settings: Sequence[Setting]) -> None:
    """Raise NotLikeLive unless the stored settings are the same to the letter, and all other columns too."""
    copied = {(one["role"], one["name"]): one["value"] for one in _rows(admin, "settings", name=new)}
    for one in settings:
        if (got := copied.get((one["role"], one["name"]))) != one["value"]:
            why = f"its setting {one['name']} = {one['value']} would become {got}"
            raise NotLikeLive(live, why, f"If it is not needed, run: {one['remedy']}.")
    if unlike := _rows(admin, "unlike", new=new, live=live):
        names = ", ".join(row["name"] for row in unlike)
        raise NotLikeLive(live, f"it would differ in {names}", "See pg_database, and ALTER DATABASE.")


def _url(admin: AdminConnection, name: str) -> str:
    return temporary_server.beside(admin.engine.url.render_as_string(hide_password=False), name)


def _rows(admin: AdminConnection, statement: str, **values: object) -> list[Mapping[str, Any]]:
    with translated():
        return Statements(admin.engine, "properties").rows_in(admin.session, statement, **values)
