// Broken: the pin is searched among all certificates that the server sent.
//
//	certpin prove --style leaf -- ./broken_go pin_among_raw_certificates {url}
package main

import (
	"crypto/tls"
	"crypto/x509"
)

func init() {
	clients["pin_among_raw_certificates"] = func(config *tls.Config) {
		config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			for _, der := range raw { // here: not the verified chains
				certificate, err := x509.ParseCertificate(der)
				if err == nil && pinned(certificate) {
					return nil
				}
			}
			return errNotPinned
		}
	}
}
