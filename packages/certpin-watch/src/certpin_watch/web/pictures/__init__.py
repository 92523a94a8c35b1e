"""Pictures as SVG, made here: pure functions from numbers to elements, coloured by the style sheet.

They have no width of their own: places across are percentages, so that a picture fits its page and
its letters keep their size. Each says in words what it shows, and a page has the same in a table.
"""
