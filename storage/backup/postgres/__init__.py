"""PostgreSQL as backups use it: dumps, temporary servers, comparing and exchanging databases."""
