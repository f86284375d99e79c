// SPDX-License-Identifier: MIT
// The workloads on goroutines; see bench/README.md for what each has to do.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

const tasks = 1000000

func a1() {
	start := time.Now()
	futures := make([]chan struct{}, tasks)
	for i := range futures {
		future := make(chan struct{}, 1)
		futures[i] = future
		go func() { future <- struct{}{} }()
	}
	for _, future := range futures {
		<-future
	}
	fmt.Printf("A1 %g tasks/s\n", tasks/time.Since(start).Seconds())
}

func a2() {
	start := time.Now()
	var group sync.WaitGroup
	group.Add(tasks)
	for i := 0; i < tasks; i++ {
		go group.Done()
	}
	group.Wait()
	fmt.Printf("A2 %g tasks/s\n", tasks/time.Since(start).Seconds())
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	left := make(chan int, 1)
	go func() { left <- fib(n - 1) }()
	right := fib(n - 2)
	return <-left + right
}

func b() {
	start := time.Now()
	if fib(32) != 2178309 {
		panic("fib")
	}
	fmt.Printf("B %g ns/spawn\n", float64(time.Since(start).Nanoseconds())/3524577)
}

func median(times []float64) float64 {
	sort.Float64s(times)
	return times[len(times)/2]
}

func roundTrips(count int, rest time.Duration) float64 {
	times := make([]float64, count)
	for i := range times {
		if rest > 0 {
			time.Sleep(rest)
		}
		start := time.Now()
		done := make(chan struct{}, 1)
		go func() { done <- struct{}{} }()
		<-done
		times[i] = float64(time.Since(start).Nanoseconds()) / 1000
	}
	return median(times)
}

func c() {
	runtime.LockOSThread() // the submitter is an outside thread
	fmt.Printf("C.hot %g us\n", roundTrips(50000, 0))
	fmt.Printf("C.idle %g us\n", roundTrips(500, time.Millisecond))
	runtime.UnlockOSThread()
}

func d1() {
	const yields = 2000000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var group sync.WaitGroup
	group.Add(2)
	start := time.Now()
	for side := 0; side < 2; side++ {
		go func() {
			for i := 0; i < yields; i++ {
				runtime.Gosched()
			}
			group.Done()
		}()
	}
	group.Wait()
	fmt.Printf("D1 %g ns/yield\n", float64(time.Since(start).Nanoseconds())/(2*yields))
}

func d2() {
	const spawns = 2000000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	done := make(chan struct{})
	start := time.Now()
	for i := 0; i < spawns; i++ {
		go func() { done <- struct{}{} }()
		<-done
	}
	fmt.Printf("D2 %g ns/spawn\n", float64(time.Since(start).Nanoseconds())/spawns)
}

func skynet(result chan int, number, size int) {
	if size == 1 {
		result <- number
		return
	}
	inner := make(chan int)
	for i := 0; i < 10; i++ {
		go skynet(inner, number+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-inner
	}
	result <- sum
}

func d3() {
	start := time.Now()
	result := make(chan int)
	go skynet(result, 0, 1000000)
	if <-result != 499999500000 {
		panic("skynet")
	}
	fmt.Printf("D3 %g s\n", time.Since(start).Seconds())
}

func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, resident float64
	fmt.Sscan(string(text), &size, &resident)
	return resident * float64(os.Getpagesize())
}

func d6() {
	const fibers = 1000000
	before := residentBytes()
	gate := make(chan struct{})
	var parked, ended sync.WaitGroup
	parked.Add(fibers)
	ended.Add(fibers)
	start := time.Now()
	for i := 0; i < fibers; i++ {
		go func() {
			parked.Done()
			<-gate
			ended.Done()
		}()
	}
	parked.Wait()
	fmt.Printf("D6.create %g s\n", time.Since(start).Seconds())
	fmt.Printf("D6.bytes %g bytes\n", (residentBytes()-before)/fibers)
	start = time.Now()
	close(gate)
	ended.Wait()
	fmt.Printf("D6.wake %g s\n", time.Since(start).Seconds())
}

func pingPong(name string, rounds int, threads bool) {
	there, back := make(chan int), make(chan int)
	start := time.Now()
	go func() {
		if threads {
			runtime.LockOSThread()
		}
		for i := 0; i < rounds; i++ {
			back <- <-there
		}
	}()
	if threads {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	for i := 0; i < rounds; i++ {
		there <- i
		if <-back != i {
			panic("ping-pong")
		}
	}
	fmt.Printf("%s %g ns/round\n", name, float64(time.Since(start).Nanoseconds())/float64(rounds))
}

func d4() {
	old := runtime.GOMAXPROCS(1)
	pingPong("D4.fibers", 1000000, false)
	runtime.GOMAXPROCS(old)
	pingPong("D4.threads", 50000, true)
}

func queue(name string, parties int, slots int) {
	const items = 4000000
	pipe := make(chan uint64, slots)
	sums := make(chan uint64)
	start := time.Now()
	var producers sync.WaitGroup
	for p := 0; p < parties; p++ {
		producers.Add(1)
		go func() {
			for i := uint64(1); i <= uint64(items/parties); i++ {
				pipe <- i
			}
			producers.Done()
		}()
		go func() {
			sum := uint64(0)
			for item := range pipe {
				sum += item
			}
			sums <- sum
		}()
	}
	producers.Wait()
	close(pipe)
	total := uint64(0)
	for p := 0; p < parties; p++ {
		total += <-sums
	}
	each := uint64(items / parties)
	if total != uint64(parties)*each*(each+1)/2 {
		panic("items lost")
	}
	fmt.Printf("%s %g items/s\n", name, items/time.Since(start).Seconds())
}

func e() {
	queue("E.1p1c", 1, 1024)
	queue("E.2p2c", 2, 1024)
	queue("E.8p8c", 8, 1024)
}

var workloads = map[string]func(){
	"A1": a1, "A2": a2, "B": b, "C": c, "D1": d1, "D2": d2, "D3": d3, "D4": d4,
	"D5": func() { queue("D5", 2, 128) }, "D6": d6, "E": e, "F4": f4,
	"K1": func() { crawlList(os.Args[2], readPaths(os.Args[3])) },
	"K2": func() { crawlLinks(os.Args[2]) },
}

func readPaths(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return strings.Fields(string(text))
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go-peer --list | WORKLOAD [URL PATHS]")
		os.Exit(2)
	}
	if os.Args[1] == "--list" {
		for name := range workloads {
			fmt.Println(name)
		}
		return
	}
	if run, known := workloads[os.Args[1]]; known {
		run()
	}
}
