"""The web pages of the monitoring service.

routes    the URLs of all pages
request   a request for a page: its parameters, read transaction and errors
hosts     all monitored hosts, and one host
failures  reports of clients, one reported chain, and the page for use during incidents
pin_sets  adoption of pin-set versions (which clients hold them), and rotation of pins
alerts    alerts and silences, their details and forms
calendar  coming dates, such as expiries, at which clients can be locked out
about     versions and settings
unknowns  sentences about data that is missing or old
charts    bars, sparklines and chains as SVG
timeline  timelines as SVG
"""
