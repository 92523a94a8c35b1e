// Broken: the pin is the name of the issuer, and every customer of it has that.
//
//	certpin prove --style leaf -- ./broken_go issuer_by_name {url}
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
)

func init() {
	clients["issuer_by_name"] = func(config *tls.Config) {
		text, _ := os.ReadFile(os.Getenv("CERTPIN_LAB_CERT"))
		block, _ := pem.Decode(text)
		expected, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if state.PeerCertificates[0].Issuer.String() != expected.Issuer.String() { // here
				return errNotPinned
			}
			return nil
		}
	}
}
