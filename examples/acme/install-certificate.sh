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

refuse() {
    echo "install-certificate.sh: $1: nothing was installed" >&2
    exit 2
}

[ ! -d "$CERTPIN_INSTALL_TO" ] || refuse "$CERTPIN_INSTALL_TO is a folder: name a file"
new=$(mktemp "$CERTPIN_INSTALL_TO.XXXXXX") # mode 600
trap 'rm -f "$new"' EXIT
trap 'exit 130' HUP INT TERM
{
    awk 1 <"$chain" # as cat, but with a newline at the end: the key begins on a line of its own
    [ -z "$key" ] || awk '/^-----BEGIN .*PRIVATE KEY-----/,/^-----END /' <"$key"
} >"$new"

# A server does not start with a file that it cannot read. The tests come before the gate, which
# writes into the journal that the server has the key.
named=$(LC_ALL=C awk '{ n += gsub(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/, "") } END { print n + 0 }' \
    <"$chain")
[ "$named" -gt 0 ] || refuse "$chain is not PEM (openssl pkcs12 and openssl x509 convert it)"
loaded=$(openssl crl2pkcs7 -nocrl -certfile "$new" | openssl pkcs7 -print_certs |
    grep -c '^-----BEGIN CERTIFICATE-----') || :
[ "$loaded" = "$named" ] || refuse "openssl reads $loaded of the $named certificates of $chain"
if grep -q '^-----BEGIN .*PRIVATE KEY-----' "$new"; then # perhaps in the chain's own file
    # Each in an assignment, so that `set -e` ends this if openssl cannot read it.
    certified=$(openssl x509 -in "$new" -noout -pubkey)
    held=$(openssl pkey -in "$new" -pubout)
    [ "$held" = "$certified" ] || refuse "${key:-the key in it} is not the key of $chain"
elif [ -n "$key" ]; then
    refuse "$key has no private key as PEM"
elif [ -e "$CERTPIN_INSTALL_TO" ] &&
    grep -q "^-----BEGIN .*PRIVATE KEY-----" "$CERTPIN_INSTALL_TO"; then
    # The key may be on a token now: then the file has to be moved away first.
    refuse "no key was given, and $CERTPIN_INSTALL_TO has one: give CHAIN and KEY"
fi

# Ends with another code than 0, and `set -e` ends this, unless every client accepts the key.
CERTPIN_WHO=${CERTPIN_WHO:-"acme on $(uname -n)"} \
    "${CERTPIN_COMMAND:-certpin}" rotate switch "$chain" --file "$CERTPIN_PINS"

mv -f "$new" "$CERTPIN_INSTALL_TO"

sh -c "${CERTPIN_RELOAD:-true}"
