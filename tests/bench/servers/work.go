// Echoes behind some µs of computing: work WORK, on as many cores as GOMAXPROCS says.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var sink uint32

func compute(steps int) {
	state := uint32(1)
	for i := 0; i < steps; i++ {
		state = state*1664525 + 1013904223
	}
	atomic.StoreUint32(&sink, state)
}

func main() {
	work, _ := strconv.Atoi(os.Args[1])
	perUs := 0.0
	for i := 0; i < 50; i++ {
		since := time.Now()
		compute(200_000)
		if found := 200_000 / float64(time.Since(since).Nanoseconds()) * 1000; found > perUs {
			perUs = found
		}
	}
	steps := int(float64(work) * perUs)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("ready %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			p := make([]byte, 4096)
			for {
				n, err := conn.Read(p)
				if err != nil {
					return
				}
				compute(steps)
				conn.Write(p[:n])
			}
		}()
	}
}
