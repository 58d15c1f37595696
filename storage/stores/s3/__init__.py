"""The S3 adapter that every capability shares."""
