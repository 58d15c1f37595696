-- The pipeline's own tables, with the columns named in the pipeline's documentation.
-- Created if absent (a demo or an empty database). On an existing pipeline this file
-- only adds missing columns: no row and no column type is ever changed.
CREATE TABLE IF NOT EXISTS jobs (
    id varchar(64) PRIMARY KEY
);
ALTER TABLE jobs
    ADD COLUMN IF NOT EXISTS api_key varchar(64),
    ADD COLUMN IF NOT EXISTS status varchar(32) NOT NULL DEFAULT 'queued',
    ADD COLUMN IF NOT EXISTS source_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS output_360p_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS output_720p_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS output_audio_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS segments_360p_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS segments_720p_size_bytes bigint,
    ADD COLUMN IF NOT EXISTS output_360p_path text,
    ADD COLUMN IF NOT EXISTS output_720p_path text,
    ADD COLUMN IF NOT EXISTS output_audio_path text,
    ADD COLUMN IF NOT EXISTS transcription_txt_path text,
    ADD COLUMN IF NOT EXISTS transcription_srt_path text,
    ADD COLUMN IF NOT EXISTS transcription_vtt_path text,
    ADD COLUMN IF NOT EXISTS transcription_json_path text,
    ADD COLUMN IF NOT EXISTS source_file_hash varchar(64) DEFAULT NULL,
    ADD COLUMN IF NOT EXISTS error_message text,
    ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS completed_at timestamptz;

CREATE TABLE IF NOT EXISTS api_keys (
    key_hash varchar(64) PRIMARY KEY
);
ALTER TABLE api_keys
    ADD COLUMN IF NOT EXISTS storage_quota_bytes bigint DEFAULT NULL,  -- NULL: unlimited, 0: none allowed
    ADD COLUMN IF NOT EXISTS storage_used_bytes bigint DEFAULT 0;
