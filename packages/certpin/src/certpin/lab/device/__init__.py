"""The interactive lab: a device connects, and each host of its app is attacked, case by case.

``lab`` runs the lab and owns its port, and ``folder`` stores its roots and keys. ``tunnel`` is its
WireGuard server. ``connection`` serves one connection of the device, ``page`` the files that the
device installs. ``schedule`` assigns each connection to a case, ``queue`` orders the cases of a
host, and ``turn`` judges the run of one case for one host.
"""
