// Broken: suites with 3DES are allowed for an old server (GODEBUG=tls3des=1,tlsrsakex=1 does the same).
//
//	certpin prove --style none -- ./broken_go triple_des {url}
package main

import "crypto/tls"

func init() {
	clients["triple_des"] = func(config *tls.Config) {
		for _, suite := range tls.CipherSuites() {
			config.CipherSuites = append(config.CipherSuites, suite.ID)
		}
		config.CipherSuites = append(config.CipherSuites,
			tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA) // here
	}
}
