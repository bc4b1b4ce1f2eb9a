// Package e2e tests the controller from outside, on any cluster that KUBECONFIG leads to and where the CRD is applied.
// Whether the controller runs there as a pod or beside the tests as a process makes no difference to them.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// The controller needs milliseconds. The rest is for a machine that boots other clusters meanwhile.
	patience = 15 * time.Second
	// Pause before the API is asked again after it gave an error; otherwise a watch tells.
	retryAfter = 200 * time.Millisecond
)

var (
	greetings  = schema.GroupVersionResource{Group: "examples.seatrial.dev", Version: "v1", Resource: "greetings"}
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	events     = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

var (
	client    dynamic.Interface
	namespace string
	report    = &junit{Name: "e2e"}
)

func TestMain(m *testing.M) {
	if err := setUp(); err != nil {
		fmt.Fprintf(os.Stderr, "the tests cannot start: %v\n", err)
		os.Exit(1)
	}
	code := m.Run()
	// Best effort: a bare control plane has nobody who would finish the deletion of a namespace.
	_ = client.Resource(namespaces).Delete(context.Background(), namespace, metav1.DeleteOptions{})
	if folder := os.Getenv("ARTIFACTS"); folder != "" {
		if err := report.write(filepath.Join(folder, "junit_e2e.xml")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func setUp() error {
	// Never the user's own cluster by accident: ~/.kube/config is not looked at.
	if os.Getenv("KUBECONFIG") == "" {
		return errors.New("KUBECONFIG is not set; try: seatrial with bare -- ./run-tests.sh")
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return fmt.Errorf("read KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	if client, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	made.SetGenerateName("greetings-e2e-")
	made, err = client.Resource(namespaces).Create(ctx, made, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a namespace for the tests: %w", err)
	}
	namespace = made.GetName()
	return nil
}

// scenario is one test: it keeps what was said about a failure for the report.
type scenario struct {
	*testing.T
	failures []string
}

// begin lets the tests run side by side: each has its own Greeting.
func begin(t *testing.T) *scenario {
	t.Parallel()
	s := &scenario{T: t}
	started := time.Now()
	t.Cleanup(func() { report.add(t, time.Since(started), s.failures) })
	return s
}

func (s *scenario) Fatalf(format string, args ...any) {
	s.Helper()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
	s.T.Fatalf(format, args...)
}

func (s *scenario) Errorf(format string, args ...any) {
	s.Helper()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
	s.T.Errorf(format, args...)
}

// greet creates a Greeting that goes away with the test.
func (s *scenario) greet(name string, spec map[string]any) {
	s.Helper()
	s.create(greetings, greeting(name, spec))
	s.Cleanup(func() {
		s.delete(greetings, name)
		if !s.Failed() {
			s.eventually(greetings, name, "the Greeting is gone", isGone)
		}
	})
}

func greeting(name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": greetings.GroupVersion().String(), "kind": "Greeting", "spec": spec,
	}}
	object.SetName(name)
	return object
}

func (s *scenario) create(resource schema.GroupVersionResource, object *unstructured.Unstructured) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := client.Resource(resource).Namespace(namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		s.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

func (s *scenario) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	object, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.Fatalf("get %s %s: %v", resource.Resource, name, err)
	}
	return object
}

func (s *scenario) patch(resource schema.GroupVersionResource, name, merge string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.Resource(resource).Namespace(namespace).Patch(ctx, name, mergePatch, []byte(merge), metav1.PatchOptions{})
	if err != nil {
		s.Fatalf("patch %s %s with %s: %v", resource.Resource, name, merge, err)
	}
}

func (s *scenario) delete(resource schema.GroupVersionResource, name string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := client.Resource(resource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		s.Fatalf("delete %s %s: %v", resource.Resource, name, err)
	}
}

// eventsOf lists what the controller said about a Greeting, for failure messages.
func eventsOf(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := client.Resource(events).Namespace(namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		return fmt.Sprintf("  cannot list them: %v", err)
	}
	if len(list.Items) == 0 {
		return "  none: does the controller run?"
	}
	var lines []string
	for _, event := range list.Items {
		at, _, _ := unstructured.NestedString(event.Object, "lastTimestamp")
		reason, _, _ := unstructured.NestedString(event.Object, "reason")
		message, _, _ := unstructured.NestedString(event.Object, "message")
		lines = append(lines, fmt.Sprintf("  %s %s: %s", at, reason, message))
	}
	return strings.Join(lines, "\n")
}
