// Echoes behind some computing: work STEPS WORKERS, in one process. servers/work.mjs has the loop.
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
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
	steps, _ := strconv.Atoi(os.Args[1])
	workers, _ := strconv.Atoi(os.Args[2])
	runtime.GOMAXPROCS(workers)
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
