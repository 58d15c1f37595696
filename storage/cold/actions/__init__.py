"""The verbs of cold data: compress, transition, follow."""
