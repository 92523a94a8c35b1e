"""The read-only JSON API below ``/api/v1``: the facts, as they are, and a description of them.

routes    every resource, in one list
asking    query parameters: strict, bounded, and cursors that nobody has to understand
answering JSON, problems (RFC 9457), ETags
openapi   the description (OpenAPI 3.1), made from the list of resources and the facts' own types
"""
