-- name: save
INSERT INTO maintenance.backups (id, kind, state, taken_at, size, items, manifest_sha256, message, pinned,
    finished_at, proven_at, certificate)
VALUES (:id, :kind, :state, :taken_at, :size, :items, :manifest_sha256, :message, :pinned,
    :finished_at, :proven_at, CAST(:certificate AS jsonb))
ON CONFLICT (id) DO UPDATE SET state = excluded.state, taken_at = excluded.taken_at, size = excluded.size,
    items = excluded.items, manifest_sha256 = excluded.manifest_sha256, message = excluded.message,
    finished_at = excluded.finished_at, proven_at = excluded.proven_at, certificate = excluded.certificate;

-- name: get
SELECT * FROM maintenance.backups WHERE id = :id;

-- name: all
SELECT * FROM maintenance.backups WHERE CAST(:kind AS text) IS NULL OR kind = :kind
ORDER BY taken_at DESC, id DESC;

-- name: move
UPDATE maintenance.backups SET state = :to, message = :message WHERE id = :id AND state = ANY(:seen) RETURNING id;

-- name: pin
UPDATE maintenance.backups SET pinned = :reason WHERE id = :id RETURNING id;

-- name: newest_proven
SELECT * FROM maintenance.backups
WHERE kind = :kind AND state = 'proven' AND proven_at IS NOT NULL AND taken_at <= :until
ORDER BY taken_at DESC, id DESC LIMIT 1;
