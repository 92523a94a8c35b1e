"""Alerts: their state, silences, and messages to notification services.

    run         the background task: evaluate, write, notify
    evidence    gathers what the rules evaluate
    state       what becomes of each alert: a pure state machine
    silences    silences, and maintenance windows of rotations
    delivery    which services get which messages, and sending them
    services    apprise and Alertmanager
    message     the text of a message
    settings    the table ``[alerts]``

The rules are in ``certpin_watch.rules``, the tables and queries in ``certpin_watch.store.alerts``.
"""
