// Prints the DNS names that Go finds in each CSR, one line a file; "refused" if it can't read it.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

func main() {
	for _, name := range os.Args[1:] {
		data, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		block, _ := pem.Decode(data)
		request, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			fmt.Println("refused")
		} else {
			fmt.Println(strings.TrimSpace("names " + strings.Join(request.DNSNames, " ")))
		}
	}
}
