// Broken: InsecureSkipVerify was set for a test server, and shipped.
//
//	certpin prove --style none -- ./broken_go insecure_skip_verify {url}
package main

import "crypto/tls"

func init() {
	clients["insecure_skip_verify"] = func(config *tls.Config) {
		config.InsecureSkipVerify = true // here
	}
}
