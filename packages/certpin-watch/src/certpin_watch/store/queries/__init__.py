"""What can be asked of the store: pages, API, alerts and metrics ask here, each the same questions.

Functions over a connection, a file for each subject. What they return is frozen, and small: each
list has an end, and a `next` from which the one after it goes on. Moments have a time zone, digests
are hexadecimal, and texts from reports and servers stand there as they came: whoever shows them
escapes them.

hosts      each watched host: its policies, what vantages see, how it stands
sightings  what probes saw of a host, and what changed
failures   what clients reported: over time, in groups, by chain
samples    a few reports as they came
chains     certificates in words
adoption   which version of a pin set clients say that they hold
alerts     what is wrong, and who was told
freshness  what the watch does not know
"""
