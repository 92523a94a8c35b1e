// Broken: the pins are compared for HTTP/1.1, and the library switched to HTTP/2.
//
//	certpin prove --style leaf -- ./broken_go http2_unpinned {url}
package main

import "crypto/tls"

func init() {
	clients["http2_unpinned"] = func(config *tls.Config) {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != "h2" && !pinned(state.PeerCertificates[0]) { // here
				return errNotPinned
			}
			return nil
		}
	}
}
