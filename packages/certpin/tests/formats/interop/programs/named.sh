#!/bin/sh
# Run a command for which these names, separated by spaces, have this address:
#
#     named.sh 127.0.0.1 "api.bank.example cdn.bank.example" COMMAND …
#
# dart:io has no setting for the address of a host. The command gets its own /etc/hosts, in a mount
# namespace that ends with it.
set -eu
[ "${CERTPIN_NAMED-}" ] || CERTPIN_NAMED=1 exec unshare --map-root-user --mount sh "$0" "$@"
mount -t tmpfs hosts /mnt
printf '%s %s localhost\n' "$1" "$2" > /mnt/hosts
mount --bind /mnt/hosts /etc/hosts
shift 2
exec "$@"
