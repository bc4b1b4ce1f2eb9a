// Command hello says from which node it answers, and asks others: `hello serve`, `hello get URL`.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		answer, err := get(os.Args[2])
		// A service leads nowhere until the nodes have heard of its pods, a moment after those are ready.
		for deadline := time.Now().Add(15 * time.Second); err != nil && time.Now().Before(deadline); {
			time.Sleep(200 * time.Millisecond)
			answer, err = get(os.Args[2])
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s", answer)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", os.Getenv("GREETING"), os.Getenv("NODE"))
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func get(url string) ([]byte, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
