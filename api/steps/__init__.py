"""REST resource: steps."""
