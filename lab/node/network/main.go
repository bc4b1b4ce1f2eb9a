// Command node-network is the network of a lab node: what kindnet is in kind's own images, made for a Docker network on
// which all nodes are neighbours.
//
// It waits for the node's own pod range, writes the CNI configuration for it, and then follows the cluster's nodes: a
// route to each other node's range, and no masquerading between pods. It speaks to the API with the kubelet's
// certificate. That one may read its own Node from the start; reading the others is granted by the manifest that kind
// applies as its default CNI, so in a cluster without it (or before) there are no routes, and nothing else is missing.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	kubeconfig = "/etc/kubernetes/kubelet.conf"
	conflist   = "/etc/cni/net.d/10-kindnet.conflist"
	chain      = "LAB-MASQ"
)

type node struct {
	Metadata struct{ Name, ResourceVersion string }
	Spec     struct {
		PodCIDR  string
		PodCIDRs []string
	}
	Status struct {
		Addresses []struct{ Type, Address string }
	}
}

func (n *node) ranges() []string {
	if len(n.Spec.PodCIDRs) > 0 {
		return n.Spec.PodCIDRs
	}
	if n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return nil
}

// address gives the node's address of the family of a range.
func (n *node) address(cidr string) string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" && isV6(a.Address) == isV6(cidr) {
			return a.Address
		}
	}
	return ""
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	own := waitForRanges(name)
	log.Printf("pod ranges of this node: %v", own)
	if err := writeConflist(own); err != nil {
		log.Fatal(err)
	}
	for _, cidr := range own {
		masquerade(cidr)
	}
	for _, cidr := range serviceRanges() {
		reject(cidr)
	}
	// The manifest that lets us see other nodes comes a second after the API, or never: ask less and less often.
	for pause := 300 * time.Millisecond; ; {
		began := time.Now()
		err := follow(name, "", func(nodes map[string]*node) bool { route(name, nodes); return false })
		if time.Since(began) > 5*time.Second {
			pause = 300 * time.Millisecond
		}
		log.Printf("following nodes: %v", err)
		time.Sleep(pause)
		pause = min(pause*3/2, 10*time.Second)
	}
}

func waitForRanges(name string) []string {
	said := ""
	for {
		var found []string
		err := follow(name, "metadata.name="+name, func(nodes map[string]*node) bool {
			if n := nodes[name]; n != nil {
				found = n.ranges()
			}
			return found != nil
		})
		if found != nil {
			return found
		}
		// Until the API is up this is said ten times a second: once is enough.
		if err != nil && !errors.Is(err, os.ErrNotExist) && err.Error() != said {
			said = err.Error()
			log.Printf("waiting for the pod range: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// follow calls seen with all nodes that match, at first and after each change, until it says enough or the watch ends.
func follow(name, fieldSelector string, seen func(map[string]*node) bool) error {
	client, server, err := connect()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	query := url.Values{}
	if fieldSelector != "" {
		query.Set("fieldSelector", fieldSelector)
	}
	body, err := get(client, server, query)
	if err != nil {
		return err
	}
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []*node
	}
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return err
	}
	nodes := map[string]*node{}
	for _, n := range list.Items {
		nodes[n.Metadata.Name] = n
	}
	if seen(nodes) {
		return nil
	}
	query.Set("watch", "true")
	query.Set("resourceVersion", list.Metadata.ResourceVersion)
	if body, err = get(client, server, query); err != nil {
		return err
	}
	defer body.Close()
	for events := json.NewDecoder(body); ; {
		var event struct {
			Type   string
			Object *node
		}
		if err := events.Decode(&event); err != nil {
			return err
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			nodes[event.Object.Metadata.Name] = event.Object
		case "DELETED":
			delete(nodes, event.Object.Metadata.Name)
		default:
			return fmt.Errorf("watch: %s", event.Type)
		}
		if seen(nodes) {
			return nil
		}
	}
}

func get(client *http.Client, server string, query url.Values) (io.ReadCloser, error) {
	response, err := client.Get(server + "/api/v1/nodes?" + query.Encode())
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s", response.Status)
	}
	return response.Body, nil
}

// connect reads the kubelet's kubeconfig anew: kubeadm changes it while a node joins, and certificates are rotated.
func connect() (*http.Client, string, error) {
	file, err := os.Open(kubeconfig)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	fields := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(strings.TrimLeft(lines.Text(), " -"), ":"); ok {
			fields[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	ca, err := dataOrFile(fields, "certificate-authority")
	if err != nil {
		return nil, "", err
	}
	certificate, err := dataOrFile(fields, "client-certificate")
	if err != nil {
		return nil, "", err
	}
	key, err := dataOrFile(fields, "client-key")
	if err != nil {
		return nil, "", err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		DialContext:           func(c context.Context, n, a string) (net.Conn, error) { return dialer.DialContext(c, n, a) },
		ResponseHeaderTimeout: 10 * time.Second,
	}
	return &http.Client{Transport: transport}, fields["server"], nil
}

func dataOrFile(fields map[string]string, name string) ([]byte, error) {
	if data := fields[name+"-data"]; data != "" {
		return base64.StdEncoding.DecodeString(data)
	}
	return os.ReadFile(fields[name])
}

func writeConflist(ranges []string) error {
	mtu := 1500
	if device, err := net.InterfaceByName("eth0"); err == nil {
		mtu = device.MTU
	}
	type object = map[string]any
	var subnets []any
	var routes []any
	for _, cidr := range ranges {
		subnets = append(subnets, []any{object{"subnet": cidr}})
		routes = append(routes, object{"dst": map[bool]string{false: "0.0.0.0/0", true: "::/0"}[isV6(cidr)]})
	}
	data, err := json.MarshalIndent(object{
		"cniVersion": "0.4.0", "name": "kindnet",
		"plugins": []any{
			object{"type": "ptp", "ipMasq": false, "mtu": mtu,
				"ipam": object{"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": routes, "ranges": subnets}},
			object{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(conflist), 0o755); err != nil {
		return err
	}
	// The runtime reads whatever appears in the folder: the name must appear with the whole content.
	if err := os.WriteFile(conflist+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(conflist+".new", conflist)
}

// masquerade lets this node's pods reach the world under the node's address; RETURN rules for pods go before its last rule.
func masquerade(cidr string) {
	tables := iptables(cidr)
	if run(tables, "-w", "-t", "nat", "-N", chain) != nil {
		_ = run(tables, "-w", "-t", "nat", "-F", chain)
	}
	run(tables, "-w", "-t", "nat", "-A", chain, "-d", cidr, "-j", "RETURN")
	run(tables, "-w", "-t", "nat", "-A", chain, "-j", "MASQUERADE")
	rule := []string{"POSTROUTING", "-s", cidr, "-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", chain}
	if run(tables, append([]string{"-w", "-t", "nat", "-C"}, rule...)...) != nil {
		run(tables, append([]string{"-w", "-t", "nat", "-A"}, rule...)...)
	}
}

// serviceRanges reads them from what kind gave to kubeadm.
func serviceRanges() []string {
	data, _ := os.ReadFile("/kind/kubeadm.conf")
	for _, line := range strings.Split(string(data), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && key == "serviceSubnet" {
			return strings.Split(strings.Trim(strings.TrimSpace(value), `"'`), ",")
		}
	}
	return nil
}

// reject refuses what kube-proxy has not led elsewhere. Without it, a pod that starts before kube-proxy has set up its rules
// sends its first packets to the world, where they are lost: its connection then hangs for half a minute.
func reject(cidr string) {
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		for _, how := range [][]string{{"-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"}, {"-j", "REJECT"}} {
			rule := append([]string{chain, "-d", cidr}, how...)
			if run(iptables(cidr), append([]string{"-w", "-C"}, rule...)...) != nil {
				run(iptables(cidr), append([]string{"-w", "-A"}, rule...)...)
			}
		}
	}
}

// routed holds what was set up last, range to address, so that a heartbeat of a node costs nothing.
var routed = map[string]string{}

func route(self string, nodes map[string]*node) {
	wanted := map[string]string{}
	for _, n := range nodes {
		if n.Metadata.Name == self {
			continue
		}
		for _, cidr := range n.ranges() {
			if address := n.address(cidr); address != "" {
				wanted[cidr] = address
			}
		}
	}
	for cidr, address := range wanted {
		if routed[cidr] == address {
			continue
		}
		if run("ip", "route", "replace", cidr, "via", address) != nil {
			continue
		}
		if routed[cidr] == "" {
			run(iptables(cidr), "-w", "-t", "nat", "-I", chain, "-d", cidr, "-j", "RETURN")
		}
		routed[cidr] = address
		log.Printf("route to %s by %s", cidr, address)
	}
	for cidr := range routed {
		if wanted[cidr] == "" {
			run("ip", "route", "del", cidr)
			run(iptables(cidr), "-w", "-t", "nat", "-D", chain, "-d", cidr, "-j", "RETURN")
			delete(routed, cidr)
		}
	}
}

func isV6(address string) bool { return strings.Contains(address, ":") }

func iptables(cidr string) string {
	if isV6(cidr) {
		return "ip6tables"
	}
	return "iptables"
}

func run(command string, args ...string) error {
	output, err := exec.Command(command, args...).CombinedOutput()
	// -N and -C ask whether something is there: their no is no trouble.
	if err != nil && !slices.Contains(args, "-C") && !slices.Contains(args, "-N") {
		log.Printf("%s %s: %v: %s", command, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return err
}
