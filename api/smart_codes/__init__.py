"""REST resource: smart codes."""
