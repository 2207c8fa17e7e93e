"""REST resource: playbooks."""
