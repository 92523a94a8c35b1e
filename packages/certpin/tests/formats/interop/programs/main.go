// A client of the exported package: one request, redirects followed as they come.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"proof/pins"
)

func main() {
	client := &http.Client{Transport: pins.Transport(nil)}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
}
