"""The pure state machine of a run: `machine.advance(plan, state, event) -> (state, commands)`."""
