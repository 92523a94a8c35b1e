"""The JSON API of the monitoring service, below ``/api/v1``: the same data as the web pages.

protocol   query parameters, cursors, JSON responses, problems (RFC 9457)
resources  every resource that can be read, and acknowledging alerts
workers    jobs and results of probe workers
routes     all routes, with the scopes that they need, and the description (OpenAPI 3.1)
"""
