"""The rules of a run, one module a concern; `playbooks.machine` is their only caller."""
