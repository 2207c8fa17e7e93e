"""REST resource: runs."""
