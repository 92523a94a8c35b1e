"""Every alert rule of the monitoring service, and the engine that evaluates them.

    engine          the registry, and one evaluation of all rules
    rule            the types of a rule and of its findings
    evidence        the data that rules evaluate
    pins            mismatches of pins and chains, missing backup pins, changed root lists
    roots           changes of authorities, root stores and log lists
    chains          chains that TLS refuses, new keys and issuers, differences by location
    expiry          certificates, pins and signatures that expire
    availability    unreachable servers, missing probe results, unreadable pin files
    transparency    certificates in Certificate Transparency logs, and missing SCTs
    reports         failures that clients report
    service         the state of the monitoring service

An alert rule is a decorated function (see ``rule.AlertRule``) in the module for its subject. Each
rule has a row in the generated page ``reference/alert-rules``, and a test in ``tests/watch/rules``
that names its id.
"""
