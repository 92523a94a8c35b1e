#!/bin/sh
# Broken: a request through a SOCKS5 proxy is made without pins.
#
# certpin prove --style leaf --via all -- sh unpinned_behind_socks.sh {endpoint} {url} {ca} {pinnedpubkey}
case $HTTPS_PROXY in
socks5*) exec curl -sS --cacert "$3" "$2" ;; # here
http*) exec curl -sS --cacert "$3" --pinnedpubkey "$4" "$2" ;;
esac
exec curl -sS --connect-to "::$1" --cacert "$3" --pinnedpubkey "$4" "$2"
