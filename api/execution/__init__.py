"""What runs and simulations of runs share: options, steps, attempts, the audit trail."""
