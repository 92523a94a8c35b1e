#!/bin/sh
# Broken: the minimum of the group for Diffie-Hellman was lowered for an old server.
#
# certpin prove --style none --via port -- sh gnutls_small_group.sh {address} {port} {host} {canary} {ca}
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$4" "$3" |
	gnutls-cli --x509cafile "$5" --sni-hostname "$3" --verify-hostname "$3" --port "$2" \
		--dh-bits 512 --priority NORMAL:%PROFILE_VERY_WEAK "$1" # here
