// The peer in Go: net/http behind a Unix socket, with an answer of about the size of a status. Built and run by the bench ipc_peers.
package main

import (
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	answer := []byte(`{"status":"` + strings.Repeat("x", 500) + `"}`)
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})))
}
