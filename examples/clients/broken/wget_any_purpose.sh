#!/bin/sh
# Broken: GnuTLS compares the purpose of a certificate only if it is given one, and wget gives it none.
#
# certpin prove --style none -- sh wget_any_purpose.sh {url} {ca}
exec wget -qO- --tries=1 --secure-protocol=TLSv1_2 --ca-certificate="$2" "$1" # here
