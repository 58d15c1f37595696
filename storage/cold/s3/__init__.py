"""S3 requests of cold data."""
