// Broken: the pin of a key is compared only if its type is known.
//
//	certpin prove --style leaf -- ./broken_go known_keys {url}
package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
)

func init() {
	clients["known_keys"] = func(config *tls.Config) {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			switch key := leaf.PublicKey.(type) {
			case *rsa.PublicKey:
				if key.N.BitLen() > 4096 {
					return nil // here
				}
			case *ecdsa.PublicKey:
				if key.Curve.Params().BitSize != 256 {
					return nil // here
				}
			default:
				return nil // here
			}
			if !pinned(leaf) {
				return errNotPinned
			}
			return nil
		}
	}
}
