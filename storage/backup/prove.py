"""Proof of backups: a backup counts once it was fetched, checked, decrypted, restored and found equal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.backup import manifest as manifests
from storage.backup import metadata_check
from storage.backup.authentication import AuthKeys
from storage.backup.context import BackupContext, as_recorded
from storage.backup.download import NullWriter, write_decrypted
from storage.backup.encryption import identities
from storage.backup.errors import BackupDamaged, NoPostgresProgram, NoSuchBackup, NotProven, ScratchFault
from storage.backup.load import COPY, load
from storage.backup.model import Backup, BackupId, DatabaseFacts, Manifest, folder
from storage.backup.postgres import amcheck as pg_proof
from storage.backup.postgres import fingerprint, programs, temporary_server
from storage.core.errors import LocksExhausted, NoRoom, TransientFault, Unreachable
from storage.core.model import ObjectKey
from storage.stores.postgres.connection import DATABASE

Certificate = dict[str, Any]


def prove(context: BackupContext, id: BackupId) -> Backup:
    """Prove a backup, and record it in the catalogue and by a certificate beside the manifest.

    Raises NoSuchBackup; BackupDamaged or NotProven, and the row turns to failed; NoKey, ScratchFault or
    NoPostgresProgram if the proof could not be attempted, and the row stays unchanged.
    """
    stores = context.stores
    with stores.runs.lock("prove") as still_locked:
        try:
            manifest, sha256 = _read(context, id)
            as_recorded(context, id, sha256)
            certificate = _signed(_certificate(context, manifest, sha256), context.auth_keys)
        except (BackupDamaged, NotProven) as error:
            stores.catalogue.move(id, ["complete", "proven", "failed"], "failed", str(error))
            stores.audit.record("not-proven", "", {"id": id, "why": str(error)})
            raise
        still_locked()  # without the lock it may have been pruned meanwhile
        at = datetime.fromisoformat(certificate["proven_at"])
        key = ObjectKey(f"{folder(manifest.kind, id)}certificate-{at:%Y%m%dT%H%M%S.%fZ}.json")
        stores.backup_bucket.create(key, json.dumps(certificate, indent=1).encode())
        return _enter(context, manifest, sha256, certificate)


def _read(context: BackupContext, id: BackupId) -> tuple[Manifest, str]:
    """Return the manifest and its hash. A backup that the catalogue counts is damaged without a manifest.

    One that it does not know does not exist: anyone who may write to the bucket could have put it there.
    """
    known = context.stores.catalogue.get(id)
    if known is None:
        raise NoSuchBackup(id)
    try:
        return manifests.read(id, context.stores.backup_bucket, context.auth_keys)
    except NoSuchBackup:
        if known.state in ("complete", "proven"):
            raise BackupDamaged("its manifest is missing") from None
        raise


def _certificate(context: BackupContext, manifest: Manifest, sha256: str) -> Certificate:
    began = time.monotonic()
    found = (
        _restored(context, manifest)
        if manifest.kind == "database"
        else metadata_check.proof(context, manifest)
    )
    now = context.stores.clock()
    return {
        "backup": manifest.id,
        "kind": manifest.kind,
        "manifest_sha256": sha256,
        "taken_at": manifest.facts.taken_at.isoformat(),
        "proven_at": now.isoformat(),
        "seconds_to_prove": round(time.monotonic() - began, 2),
        "age_seconds": round((now - manifest.facts.taken_at).total_seconds()),
        **found,
    }


def _signed(certificate: Certificate, keys: AuthKeys) -> Certificate:
    if not keys:
        return certificate
    return certificate | {"authentication": keys.sign("certificate", manifests.canonical(certificate))}


def _enter(context: BackupContext, manifest: Manifest, sha256: str, certificate: Certificate) -> Backup:
    stores = context.stores
    # The row may be gone since it was read: a catalogue that was replaced meanwhile.
    known = stores.catalogue.get(manifest.id)
    if known is None:
        raise NoSuchBackup(manifest.id)
    proven = replace(known, state="proven", proven_at=stores.clock(), certificate=certificate, message="")
    stores.catalogue.save(proven)
    stores.audit.record("proven", "", {"id": manifest.id, "sha256": sha256})
    return proven


def entry(manifest: Manifest, sha256: str) -> Backup:
    """Return the catalogue row of a backup, as far as its manifest determines it."""
    facts = manifest.facts
    items = facts.rows if isinstance(facts, DatabaseFacts) else facts.objects
    return Backup(
        id=manifest.id,
        kind=manifest.kind,
        state="complete",
        taken_at=facts.taken_at,
        size=manifest.size,
        items=items,
        manifest_sha256=sha256,
    )


def _restored(context: BackupContext, manifest: Manifest) -> Certificate:
    keys, expected = identities(context.settings.backup_identity_file), manifest.database
    with scratch(context, manifest) as (where, url):
        began = time.monotonic()
        write_decrypted(manifest.part("globals"), context.stores.backup_bucket, NullWriter(), keys)
        lacking = load(manifest, context.stores.backup_bucket, url, keys, COPY)
        restored = time.monotonic()
        found = fingerprint.facts(url)
        if wrong := differences(expected, found):
            raise NotProven(f"{len(wrong)} differences from the dump; the first: {wrong[0]}")
        sound, findings = pg_proof.amcheck(url, expected.major)
        if not sound:
            raise NotProven(f"pg_amcheck: {findings}")
        answers = pg_proof.questions(url)
        if bad := [name for name, rows in answers.items() if rows]:
            raise NotProven(f"sql/proof/{bad[0]}.sql finds rows in the restored database")
    return {
        "restored_on": where,
        "seconds_to_restore": round(restored - began, 2),
        "seconds_to_compare": round(time.monotonic() - restored, 2),
        "tables": [[t.name, t.rows, t.hash, _hash_of(found, t.name)] for t in expected.tables],
        "rows": expected.rows,
        "large_objects": [expected.large_objects.rows, expected.large_objects.hash, found.large_objects.hash],
        "sequences": len(expected.sequences),
        "extensions_lacking": list(lacking),
        "amcheck": findings or "sound",
        "questions": sorted(answers),
    }


def _hash_of(facts: DatabaseFacts, name: str) -> str:
    return next(table.hash for table in facts.tables if table.name == name)


def differences(expected: DatabaseFacts, found: DatabaseFacts) -> list[str]:
    """Return each difference of a restored database from its dump's snapshot, as a sentence."""
    wrong = []
    restored = {table.name: table for table in (*found.tables, found.large_objects)}
    dumped = {table.name: table for table in (*expected.tables, expected.large_objects)}
    for name in sorted(dumped.keys() | restored.keys()):
        wanted, got = dumped.get(name), restored.get(name)
        if wanted is None or got is None:
            wrong.append(f"{name} is {'missing' if wanted else 'unexpected'}")
        elif wanted.rows != got.rows:
            wrong.append(f"{name} has {got.rows:,} rows, not {wanted.rows:,}")
        elif wanted.hash != got.hash:
            wrong.append(f"{name} has {wanted.rows:,} rows, but different content")
    sequences = {sequence.name: sequence for sequence in found.sequences}
    for sequence in expected.sequences:
        now = sequences.get(sequence.name)
        if now is None or (now.value - sequence.value) * sequence.step < 0:
            wrong.append(f"sequence {sequence.name} is {'behind' if now else 'missing'}")
    return wrong


@contextmanager
def scratch(context: BackupContext, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Create an empty database to restore into; yield a description of where it is, and its URL.

    It is on a throw-away server, or beside the pipeline's database. Raises ScratchFault if the machine that
    it is on fails, or this one does.
    """
    facts, own = manifest.database, context.settings.database_url
    name = temporary_server.scratch_name(own, manifest.id.replace("-", "_").lower())
    with temporary_server.machine_faults():
        if _throw_away(context, facts.major):
            with _apart(facts.major) as server:
                temporary_server.create(server, name, facts.locale)
                yield f"a throw-away server of version {facts.major}", temporary_server.beside(server, name)
            return
        for left in temporary_server.leftovers(own):
            temporary_server.drop(own, left)
        with temporary_server.database(own, name, facts.locale) as url:
            yield "a scratch database beside the pipeline's", url


@contextmanager
def _apart(major: int) -> Iterator[str]:
    """Start a throw-away server. Only the proof uses it, so that its failure is its machine's fault."""
    with temporary_server.server(major) as url:
        try:
            yield url
        except LocksExhausted as error:
            raise ScratchFault(str(error.args[0])) from error
        except (NoRoom, TransientFault, Unreachable) as error:
            if error.args[0] == DATABASE:  # not an error of the object store
                raise ScratchFault(str(error.args[1])) from error
            raise


def _throw_away(context: BackupContext, major: int) -> bool:
    wanted = context.settings.proof_server
    if wanted == "same":
        return False
    try:
        programs.server(major)
    except NoPostgresProgram:
        if wanted == "throwaway":
            raise
        return False
    return True
