"""The platform's own records: old ones are removed, and what was deleted stays askable."""
