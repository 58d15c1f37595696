"""Actions of cold data: compress, transition, follow."""
