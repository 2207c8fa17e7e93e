"""REST resource: simulation."""
