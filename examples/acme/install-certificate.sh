#!/bin/sh
# Installs a new certificate, unless that would lock a client out.
#
#   certbot   --deploy-hook /path/to/install-certificate.sh
#   acme.sh   --reloadcmd /path/to/install-certificate.sh
#   lego      --run-hook and --renew-hook /path/to/install-certificate.sh
#   by hand   install-certificate.sh CHAIN [KEY]      (no KEY where it is on a token)
#
# Set these in the environment of the client, or here:
#
#   CERTPIN_PINS         the pin file; its journal lies beside it
#   CERTPIN_INSTALL_TO   what the server reads: one file with the chain and the key
#   CERTPIN_RELOAD       the command that makes the server read it again
#   CERTPIN_COMMAND      where certpin is, if it is not on the PATH
#
# The server must read nothing else: an ACME client puts each new certificate into a folder of its
# own before it asks anybody, and a server that reads there takes it at its next start.
set -eu

lineage=${RENEWED_LINEAGE:-}                                                     # certbot's
chain=${1:-${lineage:+$lineage/fullchain.pem}}
chain=${chain:-${CERT_FULLCHAIN_PATH:-${LEGO_CERT_PATH:-}}}                      # acme.sh's, lego's
if [ $# -eq 0 ]; then
    key=${lineage:+$lineage/privkey.pem}
    key=${key:-${CERT_KEY_PATH:-${LEGO_CERT_KEY_PATH:-}}}
else
    key=${2:-}
fi
: "${chain:?no certificate: give CHAIN and KEY, or run this as the hook of an ACME client}"
: "${CERTPIN_PINS:?set it to the pin file}" "${CERTPIN_INSTALL_TO:?set it to what the server reads}"

# A server does not start with a key that is not that of its certificate.
if [ -n "$key" ] &&
    [ "$(openssl pkey -in "$key" -pubout)" != "$(openssl x509 -in "$chain" -noout -pubkey)" ]; then
    echo "install-certificate.sh: $key is not the key of $chain: nothing was installed" >&2
    exit 2
fi

# Ends with another code than 0, and `set -e` ends this, unless every client accepts the key.
CERTPIN_WHO=${CERTPIN_WHO:-"acme on $(uname -n)"} \
    "${CERTPIN_COMMAND:-certpin}" rotate switch "$chain" --file "$CERTPIN_PINS"

umask 077
new=$(mktemp "$CERTPIN_INSTALL_TO.XXXXXX")
trap 'rm -f "$new"' EXIT
cat "$chain" ${key:+"$key"} >"$new"
mv -f "$new" "$CERTPIN_INSTALL_TO"

sh -c "${CERTPIN_RELOAD:-true}"
