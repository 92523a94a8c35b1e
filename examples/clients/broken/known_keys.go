// Broken: the pin of a key is compared only if its type is known.
//
// go build known_keys.go && certpin prove --style leaf -- ./known_keys {url}
package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
)

func check(state tls.ConnectionState) error {
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
	digest := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	pin := "sha256/" + base64.StdEncoding.EncodeToString(digest[:])
	if !slices.Contains(strings.Fields(os.Getenv("CERTPIN_LAB_PINS")), pin) {
		return errors.New("not pinned")
	}
	return nil
}

func main() {
	trusted := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err == nil && !trusted.AppendCertsFromPEM(pem) {
		err = errors.New("no roots")
	}
	if err == nil {
		err = ask(&tls.Config{RootCAs: trusted, VerifyConnection: check})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(config *tls.Config) error {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config}
	answer, err := (&http.Client{Transport: transport}).Get(os.Args[1])
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
