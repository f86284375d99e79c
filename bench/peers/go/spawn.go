// SPDX-License-Identifier: MIT
// F4 with os/exec.
package main

import (
	"fmt"
	"os/exec"
	"sync"
	"time"
)

func spawn(name string, inFlight int) {
	const count = 1000
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < inFlight; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := 0; j < count/inFlight; j++ {
				if err := exec.Command("/bin/true").Run(); err != nil {
					panic(err)
				}
			}
		}()
	}
	group.Wait()
	fmt.Printf("%s %g children/s\n", name, count/time.Since(start).Seconds())
}

func f4() {
	spawn("F4.one", 1)
	spawn("F4.two", 2)
	memory := make([]byte, 1<<30)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	spawn("F4.one.1gib", 1)
	spawn("F4.two.1gib", 2)
	if memory[4096] != 1 {
		panic("memory lost")
	}
}
