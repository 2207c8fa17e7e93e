"""REST resource: tasks."""
