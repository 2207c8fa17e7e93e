"""The pure part of a step's work: conditions, mappings, contracts and pure handlers.

Activities and simulation share it, so that both apply the same rules. The machine does not import it: replays must not
evaluate expressions and contracts again.
"""
