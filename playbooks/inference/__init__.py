"""Types of expressions, inferred from contracts."""
