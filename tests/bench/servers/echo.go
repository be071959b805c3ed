// How fast Go is: a goroutine per connection, one buffer each; see plain.ts for the arguments;
// tls_echo, too.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

const size = 65536

var message = 4194304

func main() {
	serve := echo
	if len(os.Args) > 1 {
		modes := map[string]func(net.Conn){
			"echo": echo, "tls_echo": echo, "once": once, "two_writes": twoWrites, "send": send, "discard": discard,
			"lines": lines, "frames": frames,
		}
		if chosen, ok := modes[os.Args[1]]; ok {
			serve = chosen
		}
	}
	if len(os.Args) > 2 {
		message, _ = strconv.Atoi(os.Args[2])
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Printf("ready %d\n", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 1 && os.Args[1] == "tls_echo" {
		pair, err := tls.LoadX509KeyPair("build/tls/cert.pem", "build/tls/key.pem")
		if err != nil {
			fail(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}}
		listener = tls.NewListener(listener, config)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func echo(conn net.Conn) {
	p := make([]byte, size)
	for {
		n, err := conn.Read(p)
		if err != nil {
			return
		}
		if _, err := conn.Write(p[:n]); err != nil {
			return
		}
	}
}

func once(conn net.Conn) {
	p := make([]byte, size)
	if n, err := conn.Read(p); err == nil {
		conn.Write(p[:n])
	}
}

// What came together is answered together: flushed when nothing more is buffered.
func lines(conn net.Conn) {
	reader, writer := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		writer.WriteString(line)
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
	}
}

func frames(conn net.Conn) {
	reader, writer := bufio.NewReader(conn), bufio.NewWriter(conn)
	var prefix [4]byte
	for {
		if _, err := io.ReadFull(reader, prefix[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(prefix[:]))
		if _, err := io.ReadFull(reader, frame); err != nil {
			return
		}
		binary.BigEndian.PutUint32(prefix[:], uint32(len(frame)))
		writer.Write(prefix[:])
		writer.Write(frame)
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
	}
}

func twoWrites(conn net.Conn) {
	p := make([]byte, size)
	for {
		n, err := conn.Read(p)
		if err != nil {
			return
		}
		conn.Write(p[:n/2])
		if _, err := conn.Write(p[n/2 : n]); err != nil {
			return
		}
	}
}

func send(conn net.Conn) {
	p := make([]byte, size)
	block := make([]byte, size)
	for {
		if _, err := conn.Read(p); err != nil {
			return
		}
		for left := message; left > 0; left -= size {
			if _, err := conn.Write(block[:min(left, size)]); err != nil {
				return
			}
		}
	}
}

func discard(conn net.Conn) {
	p := make([]byte, size)
	taken := 0
	for {
		n, err := conn.Read(p)
		if err != nil && err != io.EOF {
			return
		}
		for taken += n; taken >= message; taken -= message {
			conn.Write(p[:1])
		}
		if err == io.EOF {
			return
		}
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
