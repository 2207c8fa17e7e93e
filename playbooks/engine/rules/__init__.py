"""The rules of a run, one module a concern; `playbooks.engine.machine` is their only caller."""
