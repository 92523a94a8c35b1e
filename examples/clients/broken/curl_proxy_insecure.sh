#!/bin/sh
# Broken: the certificate of an https:// proxy is not verified.
#
# certpin prove --style leaf -- sh curl_proxy_insecure.sh {url} {ca} {pinnedpubkey}
exec curl -sS --proxy-insecure --cacert "$2" --pinnedpubkey "$3" "$1" # here
