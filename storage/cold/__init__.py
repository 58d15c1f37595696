"""Cold data: compress objects in place, read them back, and move them between tiers."""
