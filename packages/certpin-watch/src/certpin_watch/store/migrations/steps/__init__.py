"""Changes of existing rows that a revision of the schema needs, written by hand.

Example: revision 0002 ends with a call of ``s0002.after(connection)``. ``make revision`` adds this
call to the revision each time that it generates it. A step defines the tables as they are at its
revision, and imports nothing that can change later.
"""
