"""The interactive lab: a device connects, and is attacked with one case after the other per host.

``lab`` runs it and owns its port, and ``folder`` stores its roots and keys. ``tunnel`` is its
WireGuard server. ``connection`` serves one connection of the device, ``page`` the files that it
installs. ``schedule`` assigns each connection to a case, ``queue`` orders the cases of a host, and
``turn`` judges one case.
"""
