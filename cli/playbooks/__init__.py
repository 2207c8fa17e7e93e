"""`playbook playbooks ...`: playbooks as files in a folder, and in the service."""
