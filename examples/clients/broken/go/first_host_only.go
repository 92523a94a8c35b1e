// Broken: only the host of the first URL has pins, and a redirect leads to another one.
//
//	certpin prove --style leaf -- ./broken_go first_host_only {url}
package main

import (
	"crypto/tls"
	"os"
)

func init() {
	clients["first_host_only"] = func(config *tls.Config) {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			first := state.ServerName == os.Getenv("CERTPIN_LAB_HOST") // here
			if first && !pinned(state.PeerCertificates[0]) {
				return errNotPinned
			}
			return nil
		}
	}
}
