"""PostgreSQL for backups: dumps, temporary servers, comparing and exchanging databases."""
