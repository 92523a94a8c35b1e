#!/bin/sh
# Broken: every cipher suite is allowed, also those without encryption.
#
# certpin prove --style none -- sh curl_any_cipher.sh {url} {ca}
exec curl -sS --tls-max 1.2 --ciphers 'ALL:COMPLEMENTOFALL:@SECLEVEL=0' --cacert "$2" "$1" # here
