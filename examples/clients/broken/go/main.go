// Broken clients in Go, in one program: each file has one of them, with its name.
//
//	go build -o broken_go ./*.go && certpin prove --style leaf -- ./broken_go NAME {url}
package main

import (
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

var errNotPinned = errors.New("not pinned")

// The clients by name, each with the TLS settings that it adds to the trusted roots.
var clients = map[string]func(*tls.Config){}

// The TLS settings of those that connect again without ECH after a rejection.
var again = map[string]func(*tls.Config){}

func main() {
	broken, known := clients[os.Args[1]]
	if !known {
		fmt.Fprintln(os.Stderr, "there is no client with this name")
		os.Exit(2)
	}
	config := &tls.Config{RootCAs: trusted()}
	broken(config)
	err := get(config, os.Args[2])
	if rejected := new(tls.ECHRejectionError); errors.As(err, &rejected) {
		config = &tls.Config{RootCAs: trusted()}
		again[os.Args[1]](config)
		err = get(config, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(config *tls.Config, url string) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	answer, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		panic("no roots")
	}
	return pool
}

// Offers ECH in the cases that have a configuration.
func offerECH(config *tls.Config) {
	if list, _ := base64.StdEncoding.DecodeString(os.Getenv("CERTPIN_LAB_ECH")); len(list) > 0 {
		config.EncryptedClientHelloConfigList = list
	}
}

func verifyPins(config *tls.Config) {
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if !pinned(state.PeerCertificates[0]) {
			return errNotPinned
		}
		return nil
	}
}

func pinned(certificate *x509.Certificate) bool {
	digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	pin := "sha256/" + base64.StdEncoding.EncodeToString(digest[:])
	return slices.Contains(strings.Fields(os.Getenv("CERTPIN_LAB_PINS")), pin)
}
