"""Playing a playbook through without effects, by the same machine and the same evaluation as a real run.

Owns what stands in for the outside: time, workers and people. Must not hold a rule about runs (those are the machine's)
nor about expressions and contracts (`playbooks/evaluation`). Equal arguments give equal simulations.
"""
