#!/bin/sh
# Broken: -k turns the verification of chain, name and dates off, and only the pin remains.
#
# certpin prove --style leaf -- sh curl_pin_without_verification.sh {url} {ca} {pinnedpubkey}
exec curl -sS --insecure --cacert "$2" --pinnedpubkey "$3" "$1" # here
