"""Alerts: their state, silences, and messages to notification services.

    run         the background task: evaluate the rules, store alerts, send messages
    evidence    reads the data that the rules evaluate, from the store and files
    state       the state machine of an alert, a pure function
    silences    silences, and maintenance windows of rotations
    delivery    decides which services get which messages, and sends them
    services    apprise and Alertmanager
    message     the text of a message

The rules are in ``certpin_watch.rules``, the tables and queries in ``certpin_watch.store.alerts``.
"""
