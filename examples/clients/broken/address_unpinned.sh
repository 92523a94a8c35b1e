#!/bin/sh
# Broken: a request to an address has no pins.
#
# certpin prove --style leaf -- sh address_unpinned.sh {host} {url} {ca} {pinnedpubkey}
case $1 in
*[!0-9a-f.:]*) exec curl -sS --cacert "$3" --pinnedpubkey "$4" "$2" ;;
*) exec curl -sS --cacert "$3" "$2" ;; # here
esac
