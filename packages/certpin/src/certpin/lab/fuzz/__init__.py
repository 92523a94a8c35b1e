"""Fuzz a client's path check: compare its verdicts on mutated chains with those of other verifiers.

The idea is that of Frankencerts (Brubaker and others, 2014): no oracle knows the right verdict on
an odd chain, but verifiers that disagree point at the fields to look at. ``certificate`` encodes a
certificate of given fields, ``grammar`` lists the mutations, ``chains`` makes the chains of a seed,
``peers`` and ``go`` run the other verifiers, ``compare`` runs a client and minimises the chains on
which verifiers disagree, and ``run`` compares with all verifiers of this machine.
"""
