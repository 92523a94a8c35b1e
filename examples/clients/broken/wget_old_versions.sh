#!/bin/sh
# Broken: wget speaks TLS 1.0, because GnuTLS allows it by default.
#
# certpin prove --style none -- sh wget_old_versions.sh {url} {ca}
exec wget -qO- --tries=1 --ca-certificate="$2" "$1" # here: without --secure-protocol
