"""Every alert rule, and the engine that evaluates them.

    engine          the registry, and one evaluation of all rules
    rule            the types of a rule and of its findings
    evidence        the data that rules evaluate
    pins            served chains against pins: mismatches, backups
    chains          served chains themselves: verification, keys, issuers, locations
    expiry          certificates, pins and signatures that expire
    availability    hosts, locations, files and reports that are missing
    transparency    certificates in Certificate Transparency logs
    reports         failures that clients report
    service         the state of the monitoring service

A rule is a decorated function in the file of its family (``rule.AlertRule``), and a line in
``docs/monitor.md`` or ``docs/alerts.md``.
"""
