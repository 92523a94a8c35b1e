"""The interactive lab: a device calls, and its hosts go through the cases, one after the other."""
