"""The JSON API below ``/api/v1``. It returns the same data as the web pages.

protocol   query parameters, cursors, JSON responses, problems (RFC 9457)
resources  every resource that can be read
actions    acknowledge an alert, and undo that
workers    jobs and results of probe workers
openapi    the description (OpenAPI 3.1), generated from the resources
routes     all routes, with the scopes that they need
"""
