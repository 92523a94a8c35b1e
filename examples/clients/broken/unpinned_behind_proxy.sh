#!/bin/sh
# Broken: a request through a proxy is made without pins.
#
# certpin prove --style leaf --via all -- sh unpinned_behind_proxy.sh {endpoint} {url} {ca} {pinnedpubkey}
if [ -n "$HTTPS_PROXY" ]; then
	exec curl -sS --cacert "$3" "$2" # here
fi
exec curl -sS --connect-to "::$1" --cacert "$3" --pinnedpubkey "$4" "$2"
