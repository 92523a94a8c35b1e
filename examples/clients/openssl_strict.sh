#!/bin/sh
# openssl s_client with all its checks: chain, name and purpose, without pins.
#
#   certpin prove --style none --via port -- sh openssl_strict.sh {endpoint} {host} {canary} {ca}
host=${2%.}
case $2 in
*[!0-9a-f.:]*) name="-verify_hostname $host -servername $host" ;;
*) name="-verify_ip $2 -noservername" ;;
esac
# $name is two options with their values.
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$2" |
	openssl s_client -quiet -connect "$1" $name -CAfile "$4" -no-CApath -no-CAstore \
		-verify_return_error -purpose sslserver -min_protocol TLSv1.2
