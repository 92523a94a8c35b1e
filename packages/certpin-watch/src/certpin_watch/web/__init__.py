"""The pages of the service.

routes    the list of all pages
request   one request for a page: parameters, database, errors
hosts     all monitored hosts, and one host
failures  reports of clients, and one reported chain
pin_sets  adoption of pin-set versions, and rotation of pins
alerts    alerts, and silences with their forms
details   the details of an alert with labels and units
live      the page for incidents
about     versions and settings
unknowns  sentences about gaps in the data
charts    bars, sparklines and timelines as SVG
pictures  building blocks of SVG, and the picture of a chain
"""
