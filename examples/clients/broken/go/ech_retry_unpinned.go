// Broken: after a rejection of ECH, the connection without it has no pins.
//
//	certpin prove --style leaf -- ./broken_go ech_retry_unpinned {url}
package main

import "crypto/tls"

func init() {
	clients["ech_retry_unpinned"] = func(config *tls.Config) {
		offerECH(config)
		verifyPins(config)
	}
	again["ech_retry_unpinned"] = func(*tls.Config) {} // here
}
