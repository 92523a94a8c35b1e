// Broken: TLS 1.0 and 1.1 are allowed for an old server.
//
//	certpin prove --style none -- ./broken_go old_versions {url}
package main

import "crypto/tls"

func init() {
	clients["old_versions"] = func(config *tls.Config) {
		config.MinVersion = tls.VersionTLS10 // here
	}
}
