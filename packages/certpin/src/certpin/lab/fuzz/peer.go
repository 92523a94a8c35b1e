// Verify certificate chains with crypto/x509, as crypto/tls does for a client.
//
// Each line of the standard input is a JSON object: first {"anchors": [DER]}, then for each chain
// {"host": "…", "chain": [DER]}, with DER in base64. Each chain is answered with a line: empty if
// it is accepted, or the error.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type line struct {
	Anchors [][]byte
	Host    string
	Chain   [][]byte
}

func verify(request line, roots *x509.CertPool) (problem string) {
	defer func() {
		if found := recover(); found != nil {
			problem = fmt.Sprint("panic: ", found)
		}
	}()
	options := x509.VerifyOptions{Roots: roots, DNSName: request.Host, Intermediates: x509.NewCertPool()}
	var leaf *x509.Certificate
	for index, der := range request.Chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return err.Error()
		}
		if index == 0 {
			leaf = certificate
		} else {
			options.Intermediates.AddCert(certificate)
		}
	}
	if _, err := leaf.Verify(options); err != nil {
		return err.Error()
	}
	return ""
}

func main() {
	input := json.NewDecoder(bufio.NewReader(os.Stdin))
	roots := x509.NewCertPool()
	for {
		var request line
		if err := input.Decode(&request); err != nil {
			return
		}
		if request.Anchors == nil {
			fmt.Println(strings.ReplaceAll(verify(request, roots), "\n", " "))
			continue
		}
		for _, der := range request.Anchors {
			certificate, err := x509.ParseCertificate(der)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			roots.AddCert(certificate)
		}
	}
}
