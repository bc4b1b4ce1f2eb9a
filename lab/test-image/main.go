// Command lab-test is all that the end-to-end tests need inside a pod, in one static program:
//
//	serve PORT                      answers 200 with the host's name on every path
//	sleep [SECONDS]                 sleeps, for ever without a number, and ends on a signal
//	push REGISTRY/NAME:TAG          pushes a tiny image over plain HTTP
//	get URL                         prints the body; exit 1 unless the status is 2xx
//	resolve NAME                    prints the addresses of a name, one a line
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(args []string) error {
	verb, argument := "", ""
	if len(args) > 0 {
		verb = args[0]
	}
	if len(args) > 1 {
		argument = args[1]
	}
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGINT)
	switch {
	case verb == "serve" && argument != "":
		name, _ := os.Hostname()
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
		failed := make(chan error, 1)
		go func() { failed <- http.ListenAndServe(":"+argument, nil) }()
		select {
		case <-ending:
			return nil
		case err := <-failed:
			return err
		}
	case verb == "sleep":
		var elapsed <-chan time.Time
		if argument != "" {
			seconds, err := strconv.ParseFloat(argument, 64)
			if err != nil {
				return err
			}
			elapsed = time.After(time.Duration(seconds * float64(time.Second)))
		}
		select {
		case <-ending:
		case <-elapsed:
		}
		return nil
	case verb == "push" && argument != "":
		signal.Reset()
		return push(argument)
	case verb == "get" && argument != "":
		signal.Reset()
		return get(argument)
	case verb == "resolve" && argument != "":
		signal.Reset()
		limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		addresses, err := net.DefaultResolver.LookupHost(limited, argument)
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(addresses, "\n"))
		return nil
	}
	return fmt.Errorf("usage: lab-test serve PORT | sleep [SECONDS] | push REGISTRY/NAME:TAG | get URL | resolve NAME")
}

var client = &http.Client{Timeout: 20 * time.Second}

func get(url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// push makes an image of one layer that holds this very program as its entrypoint, so that what was pushed can be run.
func push(reference string) error {
	host, rest, ok := strings.Cut(reference, "/")
	if !ok {
		return fmt.Errorf("%s: want REGISTRY/NAME:TAG", reference)
	}
	name, tag, ok := strings.Cut(rest, ":")
	if !ok {
		tag = "latest"
	}
	base := "http://" + host + "/v2/" + name
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := archive.WriteHeader(&tar.Header{Name: "lab-test", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := archive.Write(program); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/lab-test"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	manifest := map[string]any{"schemaVersion": 2, "mediaType": manifestType}
	for mediaType, blob := range map[string][]byte{configType: config, layerType: layer.Bytes()} {
		if err := pushBlob(base, blob); err != nil {
			return err
		}
		described := descriptor{mediaType, digest(blob), len(blob)}
		if mediaType == configType {
			manifest["config"] = described
		} else {
			manifest["layers"] = []descriptor{described}
		}
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if _, err := send("PUT", base+"/manifests/"+tag, manifestType, data); err != nil {
		return err
	}
	fmt.Println(digest(data))
	return nil
}

func pushBlob(base string, blob []byte) error {
	location, err := send("POST", base+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	_, err = send("PUT", location+separator+"digest="+digest(blob), "application/octet-stream", blob)
	return err
}

// send gives the Location of the answer, made absolute.
func send(method, url, contentType string, body []byte) (string, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 2048))
	if response.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	location, err := request.URL.Parse(response.Header.Get("Location"))
	if err != nil {
		return "", err
	}
	return location.String(), nil
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
