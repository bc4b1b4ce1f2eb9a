// Command resolve prints the addresses of a name, as a pod finds them, and fails when there are none.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"strings"
)

func main() {
	addresses, err := net.LookupHost(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(addresses, " "))
}
