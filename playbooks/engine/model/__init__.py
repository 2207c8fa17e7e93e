"""Data that the machine reads and writes: plan, state, events, commands, messages."""
