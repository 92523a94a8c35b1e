#!/bin/sh
# Broken: one connection is checked, and the request is sent on another one.
#
# certpin prove --style leaf --via port -- sh openssl_then_curl.sh {endpoint} {host} {url} {ca} {pin} {backup}
pin=$(openssl s_client -connect "$1" -servername "$2" -CAfile "$4" -verify_return_error </dev/null 2>&1 |
	openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64)
[ "sha256/$pin" = "$5" ] || [ "sha256/$pin" = "$6" ] || exit 1
exec curl -sS --connect-to "::$1" --cacert "$4" "$3" # here: without --pinnedpubkey
