#!/bin/sh
# Broken: if the certificate can't be verified, the request is repeated without any check.
#
# certpin prove --style leaf -- sh insecure_after_failure.sh {url} {ca} {pinnedpubkey}
curl -sS --cacert "$2" --pinnedpubkey "$3" "$1" && exit
[ $? = 60 ] || exit 1
exec curl -sS --insecure "$1" # here: for devices with old roots
