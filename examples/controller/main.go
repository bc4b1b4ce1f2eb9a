// The controller writes the text of each Greeting into a ConfigMap of the same name and keeps it there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig `file`; without it the service account of the pod is used")
	as := flag.String("as", "", "act as this `user`, with its rights only, such as system:serviceaccount:greetings-system:greeting-controller")
	healthPort := flag.Int("health-port", 0, "serve /healthz and /readyz on this `port`; 0 means not at all")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	klog.SetSlogLogger(log)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *kubeconfig, *as, *healthPort); err != nil {
		log.Error("cannot start", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, kubeconfig, as string, healthPort int) error {
	// Without a file, BuildConfigFromFlags takes the in-cluster configuration.
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the client configuration: %w", err)
	}
	config.UserAgent = managedByValue
	config.QPS, config.Burst = 50, 100
	config.Impersonate = rest.ImpersonationConfig{UserName: as}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	controller, err := NewController(client, log)
	if err != nil {
		return err
	}
	if healthPort != 0 {
		stop, err := serveHealth(healthPort, controller, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	controller.Run(ctx)
	log.Info("stopped")
	return nil
}

func serveHealth(port int, controller *Controller, log *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("serve /healthz: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !controller.Synced() {
			http.Error(w, "the caches are not filled yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("/healthz is gone", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}
