"""The web pages of the service.

routes    the URLs of all pages
request   a request for a page: its parameters, read transaction and errors
hosts     all monitored hosts, and one host
failures  reports of clients, and one reported chain
pin_sets  adoption of pin-set versions, and rotation of pins
alerts    alerts and silences, and their forms
details   the details of an alert as text, with labels and units
live      the page that reloads itself, for use during incidents
about     versions and settings
unknowns  sentences about data that is missing or old
charts    bars, sparklines and timelines as SVG
pictures  building blocks of SVG, and the picture of a chain
"""
