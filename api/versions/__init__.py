"""REST resource: versions."""
