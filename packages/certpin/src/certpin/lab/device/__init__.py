"""The interactive lab: a device connects, and is attacked with one case after the other per host.

``lab`` runs it, and ``folder`` stores its roots and keys. ``port``, ``tunnel`` and ``connection``
accept the device's connections, ``page`` serves the files that it installs, ``schedule`` assigns
each connection to a case, ``queue`` orders the cases of a host, and ``turn`` judges one case.
"""
