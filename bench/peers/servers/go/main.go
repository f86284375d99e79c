// SPDX-License-Identifier: MIT
// The server of V1 to V3 on net/http; see bench/README.md for what it has to answer.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func hello(answer http.ResponseWriter, request *http.Request) {
	answer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(answer, "Hello, world!\n")
}

func waits(answer http.ResponseWriter, request *http.Request) {
	wait := func(milliseconds int, result string) chan string {
		done := make(chan string, 1)
		go func() {
			time.Sleep(time.Duration(milliseconds) * time.Millisecond)
			done <- result
		}()
		return done
	}
	file, db, api := wait(100, "file result"), wait(200, "db result"), wait(300, "api result")
	results := map[string]string{"result_file": <-file, "result_db": <-db, "result_api": <-api}
	answer.Header().Set("Content-Type", "application/json")
	json.NewEncoder(answer).Encode(results)
}

func isPrime(n uint64) bool {
	if n%2 == 0 {
		return false
	}
	for i := uint64(3); i*i <= n; i += 2 {
		if n%i == 0 {
			return false
		}
	}
	return true
}

func primes(answer http.ResponseWriter, request *http.Request) {
	texts := strings.Split(strings.TrimPrefix(request.URL.Path, "/is_prime/"), ",")
	found := make([]chan bool, len(texts))
	for i, text := range texts {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			http.Error(answer, "not a list of integers", http.StatusBadRequest)
			return
		}
		done := make(chan bool, 1)
		found[i] = done
		go func() { done <- isPrime(n) }()
	}
	results := map[string]bool{}
	for i, text := range texts {
		results[text] = <-found[i]
	}
	answer.Header().Set("Content-Type", "application/json")
	json.NewEncoder(answer).Encode(results)
}

func main() {
	http.HandleFunc("/", hello)
	http.HandleFunc("/waits", waits)
	http.HandleFunc("/is_prime/", primes)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, nil))
}
