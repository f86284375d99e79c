// SPDX-License-Identifier: MIT
// K1 and K2 with net/http and the tokenizer of golang.org/x/net/html.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/html"
)

const connections = 64

func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: connections,
			MaxConnsPerHost:     connections,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func attribute(token *html.Tokenizer, more bool, want string) (value string, found bool) {
	for more {
		var name, text []byte
		name, text, more = token.TagAttr()
		if !found && string(name) == want {
			value, found = string(text), true
		}
	}
	return
}

// The texts of a.post-item-title.
func titles(body io.Reader) int {
	token := html.NewTokenizer(body)
	count, inside, length := 0, false, 0
	for {
		switch token.Next() {
		case html.ErrorToken:
			if length == 0 && count > 0 {
				panic("empty titles")
			}
			return count
		case html.StartTagToken:
			name, more := token.TagName()
			if len(name) == 1 && name[0] == 'a' {
				class, _ := attribute(token, more, "class")
				for _, word := range strings.Fields(class) {
					inside = inside || word == "post-item-title"
				}
				if inside {
					count++
				}
			}
		case html.EndTagToken:
			inside = false
		case html.TextToken:
			if inside {
				length += len(token.Text())
			}
		}
	}
}

func crawlList(base string, paths []string) {
	client := newClient()
	base = strings.TrimSuffix(base, "/")
	var next, pages, found int64 = -1, 0, 0
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				at := atomic.AddInt64(&next, 1)
				if at >= int64(len(paths)) {
					return
				}
				response, err := client.Get(base + paths[at])
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				atomic.AddInt64(&found, int64(titles(response.Body)))
				response.Body.Close()
				atomic.AddInt64(&pages, 1)
			}
		}()
	}
	group.Wait()
	seconds := time.Since(start).Seconds()
	fmt.Printf("K1 %g pages/s\nK1.pages %d pages\n# titles %d\n", float64(pages)/seconds, pages,
		found)
}

type crawl struct {
	client  *http.Client
	host    string
	lock    sync.Mutex
	seen    map[string]bool
	queue   chan *url.URL
	pending sync.WaitGroup
	pages   int64
}

func (c *crawl) add(from *url.URL, reference string) {
	to, err := from.Parse(strings.TrimSpace(reference))
	if err != nil || to.Scheme != "http" || !strings.EqualFold(to.Host, c.host) {
		return
	}
	to.Fragment = ""
	to.Host = c.host
	if to.Path == "" {
		to.Path = "/"
	}
	to.RawPath = "" // written anew from the decoded path, in one spelling
	key := to.String()
	c.lock.Lock()
	known := c.seen[key]
	c.seen[key] = true
	c.lock.Unlock()
	if !known {
		c.pending.Add(1)
		c.queue <- to
	}
}

func (c *crawl) fetch(at *url.URL) {
	defer c.pending.Done()
	response, err := c.client.Get(at.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer response.Body.Close()
	atomic.AddInt64(&c.pages, 1)
	if location := response.Header.Get("Location"); location != "" {
		c.add(at, location)
	}
	token := html.NewTokenizer(response.Body)
	for {
		switch token.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken:
			name, more := token.TagName()
			if len(name) == 1 && name[0] == 'a' {
				if href, found := attribute(token, more, "href"); found {
					c.add(at, href)
				}
			}
		}
	}
}

func crawlLinks(base string) {
	root, err := url.Parse(base)
	if err != nil {
		panic(err)
	}
	c := crawl{client: newClient(), host: root.Host, seen: map[string]bool{},
		queue: make(chan *url.URL, 1<<20)}
	start := time.Now()
	c.add(root, "/")
	for i := 0; i < connections; i++ {
		go func() {
			for at := range c.queue {
				c.fetch(at)
			}
		}()
	}
	c.pending.Wait()
	fmt.Printf("K2 %g pages/s\nK2.pages %d pages\n", float64(c.pages)/time.Since(start).Seconds(),
		c.pages)
}
