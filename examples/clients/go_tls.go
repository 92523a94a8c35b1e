// Go: the pins over the chains that crypto/tls verified.
//
//	go build go_tls.go && certpin prove -- ./go_tls {url}
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
	"net/url"
	"os"
	"slices"
	"strings"
)

// A chain needs a pinned key, and must have no compromised one.
func pinned(state tls.ConnectionState) error {
	pins := strings.Fields(os.Getenv("CERTPIN_LAB_PINS"))
	compromised := strings.Fields(os.Getenv("CERTPIN_LAB_COMPROMISED"))
	for _, chain := range state.VerifiedChains {
		if holds(chain, pins) && !holds(chain, compromised) {
			return nil
		}
	}
	return errors.New("no verified chain is pinned and free of compromised keys")
}

func holds(chain []*x509.Certificate, pins []string) bool {
	for _, certificate := range chain {
		digest := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
		pin := "sha256/" + base64.StdEncoding.EncodeToString(digest[:])
		if slices.Contains(pins, pin) {
			return true
		}
	}
	return false
}

// The pins are those of one host: an answer must not lead to another, or out of TLS.
func stay(request *http.Request, via []*http.Request) error {
	if request.URL.Scheme != "https" || request.URL.Host != via[0].URL.Host {
		return fmt.Errorf("a redirect to %s, which is not pinned", request.URL.Host)
	}
	return nil
}

func main() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{VerifyConnection: pinned}
	// A Transport compares the pins with the certificate of an https:// proxy too. So TLS with the
	// proxy begins here, verified and without pins, and the Transport opens its tunnel in it.
	if proxy, err := url.Parse(os.Getenv("HTTPS_PROXY")); err == nil && proxy.Scheme == "https" {
		transport.DialContext = new(tls.Dialer).DialContext
		inside := *proxy
		inside.Scheme = "http"
		if inside.Port() == "" {
			inside.Host += ":443"
		}
		transport.Proxy = http.ProxyURL(&inside)
	}
	client := &http.Client{Transport: transport, CheckRedirect: stay}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
}
