"""The reference pages ``docs/configuration.md`` and ``docs/command-line.md``, generated from the code.

``python -m devstack.settings_table`` writes the tables between the markers of both pages. A test compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from storage.core.settings import ALIASES, FALLBACKS, REQUIRED, Settings

PROJECT = Path(__file__).resolve().parents[1]

#: One line for every setting, by the name of its field.
MEANINGS: Mapping[str, str] = {
    "endpoint_url": "Address of the object store, such as `http://object-store:9000`.",
    "access_key": "Access key of the object store. Empty: see [credentials](#credentials).",
    "secret_key": "Secret key of the object store.",
    "session_token": "Session token that belongs to temporary keys. It is not renewed.",
    "profile": "Profile of `~/.aws/config`. Empty: `AWS_PROFILE`, else the default one.",
    "role_arn": "Role to assume with the keys, profile or instance role. It is renewed.",
    "role_options": 'Further arguments of AssumeRole: `{"ExternalId": "..."}`.',
    "role_token_file": "File with a web identity token that assumes the role.",
    "ca_file": "File of CA certificates for object stores. Empty: the usual public CAs.",
    "tls_verify": "`false`: certificates of object stores are not checked, with a warning.",
    "database_url": "The pipeline's database: `postgresql://user:password@host/name`.",
    "public_endpoint_url": "Address that presigned links are signed for; empty: the endpoint itself.",
    "region": "Region that requests are signed for.",
    "bucket": "The bucket that is maintained.",
    "backup_bucket": "Where backups are stored; must differ from the other two buckets.",
    "maintenance_bucket": "Where plan files are stored; must differ from the other two buckets.",
    "temp_dir": "The transcoder's temp folder; must contain the file `.transcode-flow-temp`.",
    "backup_endpoint_url": "Another object store for backups; needs keys of its own. Empty: the same store.",
    "backup_access_key": "Access key for backups. Empty: the access key above. Set both keys or neither.",
    "backup_secret_key": "Secret key for backups. Empty: the secret key above.",
    "backup_recipients": "age public keys that backups are encrypted for, separated by blanks or commas. "
    "Empty: not encrypted.",
    "backup_auth_key_file": "File with the key that signs manifests and certificates; "
    "`storage backup rotate-key` creates it. Without it the bucket alone does not show who made a backup.",
    "backup_identity_file": "File with an age private key; needed where backups are tested or restored.",
    "proof_server": "Where restore tests run: `throwaway` (a temporary server), `same` (a scratch database "
    "beside the live one), `auto` (the first where possible).",
    "cold_rules": "Rules for compressing and moving objects: see [cold data](cold-data.md).",
    "tiers": "`warm=NAME cold=NAME`: storage classes or remote tiers. Empty: detected.",
    "prices": "`EUR hot=0.021 cold=0.004/90`: price per GiB and month, and the minimum days billed.",
    "keep_records_days": "How long runs, plans, closed marks stay (30 or more): see [records](records.md).",
    "keep_audit_days": "How long the audit and the logs of deletions stay (365 or more).",
}
#: Where Airflow keeps a setting, unless it is the extra field of the same name.
CONNECTIONS: Mapping[str, str] = {
    "access_key": "login",
    "secret_key": "password",
    "region": "extra `region_name`",
    "session_token": "extra `aws_session_token`",
    "profile": "extra `profile_name`",
    "role_options": "extra `assume_role_kwargs`",
    "role_token_file": "extra `assume_role_with_web_identity_token_file`",
    "ca_file": "extra `verify`: the file",
    "tls_verify": "extra `verify`: `false`",
    "database_url": "connection `storage_db`",
}
#: A sentence for each command that says more than its help.
COMMANDS: Mapping[str, str] = {
    "storage jobs": "Lists the maintenance jobs.",
    "storage plan": "Decides what a job would do and shows it. Changes nothing.",
    "storage run": "Plans a job and applies the plan. Does nothing if a limit was exceeded (exit code 4).",
    "storage apply": "Applies the plan of a run, or the part of it that is not done yet.",
    "storage runs": "Lists the latest runs, or shows one run with its bucket, its plan and each action.",
    "storage undo": "Withdraws a run's marks that are not carried out; says what is gone (exit code 1).",
    "storage explain": "Shows what each job would do with an object, a file or a job, and why.",
    "storage probe": "Detects what the object store and the temp folder support, and records it.",
    "storage status": "Shows pauses, guards, the restore epoch, marked items and each job's last acting run.",
    "storage pause": "Stops all maintenance before its next batch.",
    "storage resume": "Lifts a pause.",
    "storage migrate": "Creates or updates the schema, and records that this bucket and database belong "
    "together. Run it after every upgrade.",
    "storage backup": "Backups: take, test, list, prune.",
    "storage backup run": "Takes a backup and restore-tests it.",
    "storage backup list": "Lists the backups.",
    "storage backup show": "Shows what a backup consists of. Needs no database.",
    "storage backup verify": "Downloads every byte and compares the hashes. Not a restore test.",
    "storage backup prove": "Restores the backup into a scratch database and compares it with its source.",
    "storage backup prune": "Shows which backups the retention rule no longer keeps; `--act` deletes them.",
    "storage backup pin": "Keeps a backup forever.",
    "storage backup quarantine": "Stops counting a backup, such as one dated in the future, and keeps its "
    "files. A new proof takes it back.",
    "storage backup unpin": "Returns a pinned backup to the retention rule.",
    "storage backup check": "Fails when there is no fresh proven backup, or when the newest one deviates "
    "from its history.",
    "storage backup rebuild": "Enters backups into the catalogue that only the bucket knows.",
    "storage backup rotate-key": "Creates the key that signs manifests and certificates, or a new one; older "
    "keys still verify.",
    "storage backup drill": "Disaster-recovery test: restores the newest backup on an empty server, timed.",
    "storage backup guard": "Turns the guard on or off that deletes valuable files only with a fresh proven "
    "backup.",
    "storage restore": "Restores a backup: beside the live database, in part, or in its place.",
    "storage reconcile": "After a restore: lists the jobs that are newer than the backup and records what "
    "happens to them.",
    "storage lifecycle": "The bucket's lifecycle rules: see [lifecycle](lifecycle.md).",
    "storage lifecycle show": "Lists the bucket's rules, ours and those of others.",
    "storage lifecycle plan": "Shows what apply would change, and what the rules would affect.",
    "storage lifecycle apply": "Shows the plan; `--apply` or `--approve` applies it.",
    "storage lifecycle check": "Fails (exit code 1) when the bucket's rules differ from the declared ones.",
    "storage lifecycle history": "Lists every configuration so far.",
    "storage lifecycle rollback": "Restores our rules of an earlier version; rules of others stay.",
    "storage tier": "Storage tiers: see [tiers](tiers.md).",
    "storage tier status": "Shows the tiers, what is in them, what is on its way and what is stuck.",
    "storage tier set": "Moves a job's objects, or one object, to a tier.",
    "storage tier restore": "Moves objects back to the hot tier; shows the cost first.",
    "storage tier pin": "Keeps a job's objects as they are: neither compressed nor moved.",
    "storage tier unpin": "Returns a pinned job's objects to the rules.",
    "storage get": "Writes an object's original bytes, however it is stored. Counts as a read.",
    "storage decompress": "Replaces compressed objects by their originals.",
    "storage savings": "Shows what compressing and moving saved, as measured, and what was not worthwhile.",
    "storage deleted": "Shows when, by which run and why an object or file was deleted, while records "
    "are kept: see [records](records.md).",
    "storage presign": "Prints a link to an object that works without keys. Counts as a read.",
}
#: Texts for options and arguments, by command and name, or by name alone.
OPTIONS: Mapping[str, str] = {
    "--as-of": "Evaluate ages at this instant (ISO 8601; not in the future).",
    "--param": "Set a parameter of the job, such as `days_old=10`. May be repeated.",
    "JOB": "Id of a pipeline job.",
    "KEY": "Key of an object.",
    "KEY|PATH": "Key of an object, or path in the temp folder, exactly as it was.",
    "JOB|KEY": "Id of a pipeline job, or key of an object.",
    "BACKUP": "Id of a backup, or `latest`.",
    "--details": "Also back up each object's metadata and tags (slow).",
    "--no-proof": "Skip the restore test. The backup does not count until it is proven.",
    "--with": "Also declare this rule, which is applied on request only. May be repeated.",
    "--without": "Stop declaring this rule. May be repeated.",
    "--again": "Retry rules that this store refused before.",
    "storage plan job": "Name of a maintenance job (`storage jobs`).",
    "storage run job": "Name of a maintenance job (`storage jobs`).",
    "storage apply RUN|PLAN": "Id of the run, or address of its plan.",
    "storage apply --approve": "Approve exactly the plan with this SHA-256.",
    "storage runs run": "Id of a run.",
    "storage runs --limit": "How many runs to list.",
    "storage undo run": "Id of the run.",
    "storage undo --job": "Only what belongs to this pipeline job.",
    "storage undo --key": "Only this key, path in the temp folder, or job id.",
    "storage undo --dry-run": "Show what it would take back and what it cannot; change nothing.",
    "storage explain KEY|PATH|JOB": "Key of an object, path in the temp folder, or id of a pipeline job.",
    "storage pause --reason": "Why; shown by `storage status`.",
    "storage migrate --adopt": "Accept another bucket or database than the recorded one.",
    "storage backup run kind": "What to back up.",
    "storage backup run --accept": "Accept that the bucket lists far fewer objects than at the last backup.",
    "storage backup list --from-bucket": "Read the bucket only; needs no database.",
    "storage backup list --all": "Include expired backups.",
    "storage backup prune --act": "Delete them.",
    "storage backup prune --param": "Set a parameter, such as `days_old=60`. May be repeated.",
    "storage backup quarantine --reason": "Why.",
    "storage backup pin --reason": "Why.",
    "storage backup rebuild --unauthenticated": "Also add backups that this installation's key did not "
    "sign; they have to be proven again.",
    "storage backup rebuild --accept": "Accept that the bucket has lost more than half of the backups.",
    "storage backup guard state": "Whether the guard is on.",
    "storage restore BACKUP": "Id of a backup, or `latest`: the newest proven one.",
    "storage restore --into": "Restore into this database, which must be new or empty.",
    "storage restore --confirm": "For `--into`, `--live` and `--undo`: the name of the database again.",
    "storage restore --live": "Replace the live database; the old one is kept for 7 days.",
    "storage restore --undo": "Put back the database that `--live` replaced.",
    "storage restore --drop-kept": "Drop replaced databases whose 7 days are over.",
    "storage restore --tables": "Restore only these tables, into a new database.",
    "storage restore --api-key": "Compare the rows of one API key (`-`: read it from stdin).",
    "storage restore --job": "Compare the rows of one job; with a metadata backup: its `metadata.json`.",
    "storage restore --apply": "Put back what is missing, with `--job` or `--api-key`.",
    "storage restore --roles": "Print the server's roles as SQL.",
    "storage restore --from-bucket": "Take the backup as the bucket holds it, also if the catalogue does not "
    "know it: only where nobody else may write to the bucket.",
    "storage reconcile --adopt": "Keep the objects of these jobs (`all`: every job without a verdict).",
    "storage reconcile --condemn": "Let the objects of these jobs be deleted (or `all`).",
    "storage reconcile --close": "End the restore epoch: maintenance continues.",
    "storage lifecycle plan --no-effect": "Do not list the bucket.",
    "storage lifecycle apply --apply": "Apply the plan, if nothing in it deletes.",
    "storage lifecycle apply --approve": "Apply exactly the plan with this SHA-256.",
    "storage lifecycle rollback N": "Number of the version (`storage lifecycle history`).",
    "storage lifecycle rollback --apply": "Apply the plan, if nothing in it deletes.",
    "storage lifecycle rollback --approve": "Apply exactly the plan with this SHA-256.",
    "storage tier set tier": "The tier.",
    "storage tier set --apply": "Do it. Without this option the plan is only shown.",
    "storage tier restore --apply": "Do it. Without this option the plan is only shown.",
    "storage tier pin --reason": "Why.",
    "storage get --output": "Write to this file instead of stdout.",
    "storage get --range": "Only bytes A to B, both included; `A-`: to the end.",
    "storage decompress --job": "All compressed objects of this job.",
    "storage decompress --apply": "Do it. Without this option the plan is only shown.",
    "storage savings --by": "How to group.",
    "storage savings --days": "Only the last N days.",
    "storage presign --minutes": "How long the link works.",
}


def settings_table() -> str:
    """A row for each field of :class:`Settings`."""
    rows = [
        "| variable | default | secret | other names | in Airflow | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for one in fields(Settings):
        other = _code(*ALIASES.get(one.name, ()))
        if one.name in FALLBACKS:
            other = "; ".join(filter(None, (other, f"else {_code(*FALLBACKS[one.name])}")))
        cells = (
            f"`STORAGE_{one.name.upper()}`",
            _default(one),
            "" if one.repr else "yes",
            other,
            CONNECTIONS.get(one.name, f"extra `{one.name}`"),
            MEANINGS[one.name],
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(one: Field[Any]) -> str:
    if one.name in REQUIRED:
        return "**required**"
    return f"`{one.default}`" if one.default is not MISSING and one.default else ""


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def schedules_table() -> str:
    """The variable and the default of each DAG that runs by schedule."""
    rows = ["| variable | DAG | default (UTC) |", "|---|---|---|"]
    for path in sorted((PROJECT / "dags").glob("*.py")):
        source = path.read_text()
        found = re.search(r'schedule\("(STORAGE_\w+)", "([^"]+)"\)', source)
        name = re.search(r'dag_id="(\w+)"', source)
        if found and name:
            rows.append(f"| `{found[1]}` | `{name[1]}` | `{found[2]}` |")
    return "\n".join(rows)


def commands_text() -> str:
    """Every command with its arguments and options, as the parser has them."""
    from storage.cli.parser import parser

    return "\n\n".join(_section(one) for one in _commands(parser()))


def _commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield one
                yield from _commands(one)


def _section(command: argparse.ArgumentParser) -> str:
    own = [
        one
        for one in command._actions
        if not isinstance(one, argparse._HelpAction | argparse._SubParsersAction)
        and one.help != argparse.SUPPRESS
        and "--json" not in one.option_strings  # every command has it
    ]
    group = any(isinstance(one, argparse._SubParsersAction) for one in command._actions)
    lines = [f"{'##' if group or command.prog.count(' ') == 1 else '###'} {command.prog}", ""]
    lines.append(COMMANDS[command.prog])
    if own:
        lines += ["", "| argument | meaning |", "|---|---|"]
        positional_first = sorted(own, key=lambda one: bool(one.option_strings))
        lines += [f"| {_spelled(one)} | {_meaning(command.prog, one)} |" for one in positional_first]
    return "\n".join(lines)


def _names(one: argparse.Action) -> tuple[str, ...]:
    """How an argument is named: its options, or what stands for its value."""
    return tuple(one.option_strings) or (str(one.metavar or one.dest),)


def _spelled(one: argparse.Action) -> str:
    """An argument as it is typed, for a cell of a table: ``--limit LIMIT``, ``[RUN]``."""
    value = str(one.metavar or "|".join(one.choices or ()) or one.dest.upper()).replace("|", "\\|")
    if one.nargs == 0:
        value = ""
    value = {"+": f"{value} ...", "*": f"[{value} ...]", "?": f"[{value}]"}.get(str(one.nargs), value)
    return f"`{' '.join(filter(None, (', '.join(one.option_strings), value)))}`"


def _meaning(prog: str, one: argparse.Action) -> str:
    name = _names(one)[-1]
    text = OPTIONS.get(f"{prog} {name}") or OPTIONS[name]
    given = one.nargs != 0 and one.default not in (None, "", [], False)
    return f"{text} Default: `{one.default}`." if given else text


#: Each page, and the tables in it by the word of their markers.
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/configuration.md": {"settings": settings_table, "schedules": schedules_table},
    "docs/command-line.md": {"commands": commands_text},
}


def updated(page: str, text: str) -> str:
    """The page's text with its generated parts made anew. Raises ValueError where a marker is missing."""
    for word, made in PAGES[page].items():
        begin, end = f"<!-- generated: {word} -->\n", f"<!-- end: {word} -->"
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (opened and closed):
            raise ValueError(f"{page} lacks the markers {begin.strip()} and {end}")
        text = f"{head}{begin}\n{made()}\n\n{end}{tail}"
    return text


def main() -> int:
    for page in PAGES:
        path = PROJECT / page
        path.write_text(updated(page, path.read_text()))
        print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
