-- Each index: its name, then its definition. Built one at a time with CREATE INDEX CONCURRENTLY, outside any
-- transaction; an invalid index left by an interrupted build is dropped and rebuilt.
-- idx_jobs_file_hash
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_file_hash ON jobs (source_file_hash, api_key, status);
-- idx_api_keys_storage
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_api_keys_storage ON api_keys (storage_quota_bytes, storage_used_bytes);
-- idx_jobs_unended
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_unended ON jobs (updated_at, id) WHERE status IN ('queued', 'processing', 'transcoding', 'uploading');
-- idx_jobs_failed
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_failed ON jobs (updated_at, id) WHERE status = 'failed';
-- idx_jobs_ended
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_ended ON jobs (updated_at, id) WHERE status IN ('completed', 'failed');
