"""The life of a playbook version: statuses, transitions, schedules, side effects."""
