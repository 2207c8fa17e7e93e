"""REST resource: publication."""
