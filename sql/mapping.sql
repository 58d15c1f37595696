-- How the platform sees the pipeline's jobs: the one file to edit when your table differs.
-- Left of AS: your column. Right of AS: the platform's name. Applied again by `storage migrate` when it was edited.
-- The view must stay simple (one table, no GROUP BY), for the platform updates status,
-- error_message and updated_at through it. updated_at must be a timestamptz.
CREATE VIEW maintenance.jobs AS
SELECT
    id::text AS id,
    status AS status,
    api_key AS api_key,
    updated_at AS updated_at,
    completed_at AS completed_at,
    error_message AS error_message,
    output_360p_path AS output_360p_path,
    output_720p_path AS output_720p_path,
    output_audio_path AS output_audio_path,
    transcription_txt_path AS transcription_txt_path,
    transcription_srt_path AS transcription_srt_path,
    transcription_vtt_path AS transcription_vtt_path,
    transcription_json_path AS transcription_json_path
FROM jobs;
