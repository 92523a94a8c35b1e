#!/bin/sh
# Broken: openssl s_client reports a wrong chain, and goes on.
#
# certpin prove --style none --via port -- sh openssl_verify_ignored.sh {endpoint} {host} {canary} {ca}
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$2" |
	openssl s_client -quiet -connect "$1" -servername "$2" -CAfile "$4" # here: no -verify_return_error
