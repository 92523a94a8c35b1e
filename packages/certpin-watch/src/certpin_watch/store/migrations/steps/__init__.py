"""What a revision does to rows, written by hand: ``s0002.after(connection)`` ends revision 0002.

``make revision`` puts the call into the revision, whenever it writes it anew. A step knows the
tables as they are at its revision, and imports nothing that may change after it.
"""
