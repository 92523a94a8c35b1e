// Broken: the chain is verified by hand, and the name is forgotten.
//
//	certpin prove --style none -- ./broken_go chain_without_name {url}
package main

import (
	"crypto/tls"
	"crypto/x509"
)

func init() {
	clients["chain_without_name"] = func(config *tls.Config) {
		roots := config.RootCAs
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()} // here: no DNSName
			for _, certificate := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(certificate)
			}
			_, err := state.PeerCertificates[0].Verify(options)
			return err
		}
	}
}
