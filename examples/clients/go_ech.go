// Go: ECH, and the same pins on the connection without it after a rejection.
//
//	go build go_ech.go && certpin prove -- ./go_ech {url}
//
// crypto/tls verifies the certificate of a server that rejects ECH for the public name, and calls no
// VerifyConnection for it: that server is not the pinned host.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
)

func pinned(state tls.ConnectionState) error {
	pins := strings.Fields(os.Getenv("CERTPIN_LAB_PINS"))
	for _, chain := range state.VerifiedChains {
		for _, certificate := range chain {
			digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
			if slices.Contains(pins, "sha256/"+base64.StdEncoding.EncodeToString(digest[:])) {
				return nil
			}
		}
	}
	return errors.New("no verified chain is pinned")
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

func main() {
	config := &tls.Config{VerifyConnection: pinned}
	if list, err := base64.StdEncoding.DecodeString(os.Getenv("CERTPIN_LAB_ECH")); err == nil && len(list) > 0 {
		config.EncryptedClientHelloConfigList = list
	}
	err := get(config, os.Args[1])
	// A server without ECH sends no other configuration: the next connection has none.
	if rejected := new(tls.ECHRejectionError); errors.As(err, &rejected) {
		config = config.Clone()
		config.EncryptedClientHelloConfigList = rejected.RetryConfigList
		err = get(config, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
