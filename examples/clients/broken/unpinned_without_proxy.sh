#!/bin/sh
# Broken: only requests through a proxy are pinned, because a direct network seems safe.
#
# certpin prove --style leaf --via all -- sh unpinned_without_proxy.sh {endpoint} {url} {ca} {pinnedpubkey}
if [ -n "$HTTPS_PROXY" ]; then
	exec curl -sS --cacert "$3" --pinnedpubkey "$4" "$2"
fi
exec curl -sS --connect-to "::$1" --cacert "$3" "$2" # here
