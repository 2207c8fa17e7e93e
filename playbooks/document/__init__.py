"""The playbook document: its model, its errors, its editing."""
