package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
)

// listenFeeds is a crowd of WebSocket clients that read as cheaply as one can. It says that it is
// ready when all are connected and have got the first frames, and then, each time all have got a
// number of frames more, how long the last of them was.
func listenFeeds(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("want address, clients, greetings, step and what to say first, got %q", args)
	}
	var n, greets, step int
	for i, p := range []*int{&n, &greets, &step} {
		var err error
		if *p, err = strconv.Atoi(args[1+i]); err != nil {
			return err
		}
	}
	conns := make([]*bufio.Reader, n)
	for i := range conns {
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if conns[i], err = upgrade(conn, args[0], args[4]); err != nil {
			return err
		}
		for range greets {
			if _, err := skipFrame(conns[i]); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	steps := make([]atomic.Int64, 1<<16) // how many clients have done each step
	for _, in := range conns {
		go func() {
			for s := 0; ; s++ {
				size := 0
				for i := 0; i < step; i++ {
					var err error
					if size, err = skipFrame(in); err != nil {
						return
					}
				}
				if steps[s%len(steps)].Add(1) == int64(n) {
					steps[s%len(steps)].Store(0)
					fmt.Println(size)
				}
			}
		}()
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// upgrade makes a connection a WebSocket and sends a frame.
func upgrade(conn net.Conn, address, say string) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(conn, 16<<10)
	if _, err := fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", address); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.New(resp.Status)
	}
	if say == "" {
		return in, nil
	}
	// A text frame of less than 126 bytes; its mask is zero.
	_, err = conn.Write(append([]byte{0x81, 0x80 | byte(len(say)), 0, 0, 0, 0}, say...))
	return in, err
}

// skipFrame reads a data frame of a server, passes over the pings before it, and returns its length.
func skipFrame(in *bufio.Reader) (int, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return 0, err
		}
		size := int(head[1])
		switch size {
		case 126:
			var more [2]byte
			if _, err := io.ReadFull(in, more[:]); err != nil {
				return 0, err
			}
			size = int(binary.BigEndian.Uint16(more[:]))
		case 127:
			return 0, errors.New("a frame is too long")
		}
		if _, err := in.Discard(size); err != nil {
			return 0, err
		}
		if head[0]&0x0f < 8 {
			return size, nil
		}
	}
}
