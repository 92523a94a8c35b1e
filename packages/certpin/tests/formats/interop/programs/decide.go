// Asks the exported package what it would decide: "HOST MOMENT CERTIFICATE…" a line, in base64.
package pins

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		fmt.Println("decided", decided(normalise(words[0]), words[1], words[2:]))
	}
}

func decided(host, moment string, encoded []string) string {
	found := find(host)
	if found == nil {
		return "- unpinned"
	}
	now, err := time.Parse(time.RFC3339, moment)
	if err != nil {
		panic(err)
	}
	var chains [][]*x509.Certificate
	for _, each := range encoded {
		der, _ := base64.StdEncoding.DecodeString(each)
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		if len(chains) == 0 {
			chains = append(chains, nil)
		}
		chains[0] = append(chains[0], certificate)
	}
	failure := decide(host, found, chains, now)
	if failure == nil {
		return found.pattern + " accept"
	}
	if failure.Enforced {
		return found.pattern + " refuse " + failure.Reason
	}
	return found.pattern + " report " + failure.Reason
}
