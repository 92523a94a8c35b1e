// Broken: the pin replaces the verification of chain, name and dates.
//
//	certpin prove --style leaf -- ./broken_go pin_without_verification {url}
package main

import (
	"crypto/tls"
	"crypto/x509"
)

func init() {
	clients["pin_without_verification"] = func(config *tls.Config) {
		config.InsecureSkipVerify = true // here
		config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			leaf, err := x509.ParseCertificate(raw[0])
			if err == nil && !pinned(leaf) {
				err = errNotPinned
			}
			return err
		}
	}
}
