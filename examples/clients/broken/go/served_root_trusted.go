// Broken: the last certificate that the server sends counts as a root, for customers with their own authority.
//
//	certpin prove --style none -- ./broken_go served_root_trusted {url}
package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
)

func init() {
	clients["served_root_trusted"] = func(config *tls.Config) {
		config.InsecureSkipVerify = true // replaced by this check
		config.VerifyConnection = func(state tls.ConnectionState) error {
			served := state.PeerCertificates
			roots, others := config.RootCAs.Clone(), x509.NewCertPool()
			roots.AddCert(served[len(served)-1]) // here
			for _, certificate := range served[1:] {
				others.AddCert(certificate)
			}
			name := state.ServerName
			if target, err := url.Parse(os.Args[2]); err == nil && name == "" {
				name = target.Hostname() // an address
			}
			options := x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: others}
			_, err := served[0].Verify(options)
			return err
		}
	}
}
