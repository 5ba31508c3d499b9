// SPDX-License-Identifier: MIT
//
// golang.go -- the contender on Go's net package: a goroutine per connection, Read, then Write.
//
// A connection has a buffer of 64 KiB of its own.  The idle limit is a deadline that is set before
// every Read, as the documentation of net.Conn says that one is made; TCP_NODELAY is Go's default.
// Go decides by itself: edge-triggered epoll; a thread for each processor that the process may use,
// and some of its own; how many it takes to listen.
// Usage: golang [--idle] tcp://A.B.C.D:PORT, or --version.  SIGTERM ends it at once.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readSize = 65536
	rest     = 100 * time.Millisecond
	limit    = 30 * time.Second
)

func serve(conn net.Conn, idle bool) {
	defer conn.Close()
	buffer := make([]byte, readSize)
	for {
		if idle {
			conn.SetDeadline(time.Now().Add(limit))
		}
		got, err := conn.Read(buffer)
		if got > 0 {
			if _, failed := conn.Write(buffer[:got]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func starved(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func fail(status int, what ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"golang:"}, what...)...)
	os.Exit(status)
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) == 1 && arguments[0] == "--version" {
		fmt.Println(strings.TrimPrefix(runtime.Version(), "go"))
		return
	}
	idle := len(arguments) == 2 && arguments[0] == "--idle"
	if idle {
		arguments = arguments[1:]
	}
	if len(arguments) != 1 || !strings.HasPrefix(arguments[0], "tcp://") {
		fail(2, "want [--idle] tcp://A.B.C.D:PORT, or --version")
	}
	listener, err := net.Listen("tcp4", strings.TrimPrefix(arguments[0], "tcp://"))
	if err != nil {
		fail(1, err)
	}
	fmt.Printf("tcp://%s\n", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err == nil {
			go serve(conn, idle)
		} else if starved(err) {
			time.Sleep(rest)
		}
	}
}
