#!/bin/sh
# Broken: if TLS fails before a certificate arrives, the request is repeated in clear text.
#
# certpin prove --style leaf --stall 8 -- sh http_after_failure.sh {host} {canary} {ca} {pinnedpubkey}
url="$1/$2"
curl -sS --max-time 4 --cacert "$3" --pinnedpubkey "$4" "https://$url" && exit
case $? in
28 | 35 | 56) exec curl -sS "http://$url" ;; # here: time-out, no handshake, reset
esac
exit 1
