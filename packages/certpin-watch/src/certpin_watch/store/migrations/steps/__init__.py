"""Changes of rows that a revision needs, written by hand: ``s0002.after(connection)`` ends 0002.

``make revision`` adds the call to the revision each time that it generates it. A step defines the
tables as they are at its revision, and imports nothing that may change later.
"""
