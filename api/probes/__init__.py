"""REST resource: probes."""
