"""REST resource: codec."""
