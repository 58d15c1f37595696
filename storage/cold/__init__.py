"""Cold data: compressing objects in place, reading them back, and moving them between tiers."""
