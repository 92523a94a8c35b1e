#!/bin/sh
# Broken: openssl s_client verifies the chain, and is given no name to verify.
#
# certpin prove --style none --via port -- sh openssl_without_name.sh {endpoint} {host} {canary} {ca}
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$2" |
	openssl s_client -quiet -connect "$1" -servername "$2" -CAfile "$4" -verify_return_error # here
