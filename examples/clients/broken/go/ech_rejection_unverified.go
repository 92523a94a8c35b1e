// Broken: ECH is given up without a look at the certificate of the server that rejects it.
//
//	certpin prove --style leaf -- ./broken_go ech_rejection_unverified {url}
package main

import "crypto/tls"

func init() {
	clients["ech_rejection_unverified"] = func(config *tls.Config) {
		offerECH(config)
		verifyPins(config)
		config.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error {
			return nil // here
		}
	}
	again["ech_rejection_unverified"] = verifyPins
}
