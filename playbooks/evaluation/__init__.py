"""What a step's conditions, mappings, contracts and pure handlers come to: shared by activities and simulation.

Owns everything about a step's work that needs no I/O, so that both carry out the same rules. The machine does not
import it: expressions and contracts are too large to be replayed.
"""
