#!/bin/sh
# Broken: if TLS fails before a certificate arrives, the request is repeated without pins.
#
# certpin prove --style leaf --stall 8 -- sh unpinned_after_failure.sh {url} {ca} {pinnedpubkey}
curl -sS --max-time 4 --cacert "$2" --pinnedpubkey "$3" "$1" && exit
case $? in
28 | 35 | 56) exec curl -sS --cacert "$2" "$1" ;; # here: time-out, no handshake, reset
esac
exit 1
