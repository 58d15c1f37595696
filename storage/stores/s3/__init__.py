"""S3 adapter shared by every capability."""
