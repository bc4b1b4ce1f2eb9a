package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const finalizer = "examples.seatrial.dev/configmap"

func TestCRDIsEstablished(t *testing.T) {
	s := begin(t)
	s.eventually(crds, greetings.GroupResource().String(), "the CRD is established", func(crd *unstructured.Unstructured) error {
		if crd == nil {
			return errors.New("there is no such CRD: kubectl apply -f deploy/crd.yaml")
		}
		conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
		for _, entry := range conditions {
			condition, _ := entry.(map[string]any)
			if condition["type"] == "Established" && condition["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("conditions are %v", conditions)
	})
}

func TestGreetingBecomesConfigMap(t *testing.T) {
	s := begin(t)
	s.greet("created", map[string]any{"name": "Ada", "language": "fr"})
	s.eventually(configMaps, "created", "a Greeting becomes a ConfigMap", says("Bonjour, Ada !"))
	s.eventually(greetings, "created", "the status says so", isReady)
}

func TestLanguageIsEnglishUnlessSaid(t *testing.T) {
	s := begin(t)
	s.greet("default", map[string]any{"name": "Ada"})
	s.eventually(configMaps, "default", "a Greeting without a language is in English", says("Hello, Ada!"))
}

func TestChangeOfLanguageUpdatesConfigMap(t *testing.T) {
	s := begin(t)
	s.greet("changed", map[string]any{"name": "Ada", "language": "en"})
	s.eventually(configMaps, "changed", "a Greeting becomes a ConfigMap", says("Hello, Ada!"))
	s.patch(greetings, "changed", `{"spec":{"language":"de"}}`)
	s.eventually(configMaps, "changed", "a change of language updates the ConfigMap", says("Hallo, Ada!"))
	s.eventually(greetings, "changed", "the status follows the change", isReady)
}

func TestDeletionRemovesConfigMapAndFinalizer(t *testing.T) {
	s := begin(t)
	s.greet("deleted", map[string]any{"name": "Ada", "language": "en"})
	s.eventually(greetings, "deleted", "the Greeting is ready", isReady)
	s.delete(greetings, "deleted")
	s.eventually(greetings, "deleted", "the finalizer lets the Greeting go", isGone)
	if left := s.get(configMaps, "deleted"); left != nil {
		s.Errorf("the Greeting is gone and its ConfigMap is not: %s", show(left))
	}
}

func TestEditedConfigMapIsRepaired(t *testing.T) {
	s := begin(t)
	s.greet("edited", map[string]any{"name": "Ada", "language": "ja"})
	s.eventually(configMaps, "edited", "a Greeting becomes a ConfigMap", says("こんにちは、Adaさん!"))
	s.patch(configMaps, "edited", `{"data":{"greeting":"edited by hand","more":"edited by hand"}}`)
	s.eventually(configMaps, "edited", "a ConfigMap edited by hand is repaired", says("こんにちは、Adaさん!"))
}

func TestDeletedConfigMapComesBack(t *testing.T) {
	s := begin(t)
	s.greet("lost", map[string]any{"name": "Ada", "language": "es"})
	first := s.eventually(configMaps, "lost", "a Greeting becomes a ConfigMap", says("¡Hola, Ada!"))
	s.delete(configMaps, "lost")
	s.eventually(configMaps, "lost", "a ConfigMap deleted by hand comes back", func(object *unstructured.Unstructured) error {
		if object != nil && object.GetUID() == first.GetUID() {
			return errors.New("it is the one that was deleted")
		}
		return says("¡Hola, Ada!")(object)
	})
}

func TestConfigMapOfAnotherIsLeftAlone(t *testing.T) {
	s := begin(t)
	foreign := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"mine": "yes"},
	}}
	foreign.SetName("taken")
	s.create(configMaps, foreign)
	s.greet("taken", map[string]any{"name": "Ada", "language": "en"})
	s.eventually(greetings, "taken", "a Greeting whose ConfigMap's name is taken has failed", func(object *unstructured.Unstructured) error {
		if object == nil {
			return errors.New("there is no Greeting")
		}
		phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
		message, _, _ := unstructured.NestedString(object.Object, "status", "message")
		if phase != "Failed" || !strings.Contains(message, "is not ours") {
			return fmt.Errorf("phase is %q, message %q", phase, message)
		}
		return nil
	})
	if now := s.get(configMaps, "taken"); now == nil || len(now.GetOwnerReferences()) > 0 {
		s.Errorf("somebody else's ConfigMap was touched: %s", show(now))
	}
}

func TestInvalidSpecIsRefused(t *testing.T) {
	s := begin(t)
	for _, row := range []struct {
		name string
		spec map[string]any
		want string
	}{
		{"a language that nobody speaks", map[string]any{"name": "Ada", "language": "tlh"}, `Unsupported value: "tlh"`},
		{"no name", map[string]any{"language": "en"}, "spec.name: Required value"},
		{"a blank name", map[string]any{"name": "  ", "language": "en"}, "name must not be blank"},
		{"a name of two lines", map[string]any{"name": "Ada\nBob", "language": "en"}, "name must be one line"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := client.Resource(greetings).Namespace(namespace).Create(ctx, greeting("invalid", row.spec), metav1.CreateOptions{})
		cancel()
		switch {
		case err == nil:
			s.delete(greetings, "invalid")
			s.Errorf("%s: accepted, though the CRD should refuse it", row.name)
		case !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), row.want):
			s.Errorf("%s: refused with another reason\ngot:  %v\nwant: %s", row.name, err, row.want)
		}
	}
}

func says(want string) check {
	return func(object *unstructured.Unstructured) error {
		if object == nil {
			return errors.New("there is no ConfigMap")
		}
		data, _, _ := unstructured.NestedStringMap(object.Object, "data")
		if data["greeting"] != want {
			return fmt.Errorf("greeting is %q, want %q", data["greeting"], want)
		}
		if len(data) != 2 {
			return fmt.Errorf("keys other than greeting and language: %v", data)
		}
		return nil
	}
}

func isReady(object *unstructured.Unstructured) error {
	if object == nil {
		return errors.New("there is no Greeting")
	}
	if !slices.Contains(object.GetFinalizers(), finalizer) {
		return fmt.Errorf("finalizers are %v, without %s", object.GetFinalizers(), finalizer)
	}
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if phase != "Ready" || observed != object.GetGeneration() {
		return fmt.Errorf("phase is %q for generation %d; want Ready for generation %d", phase, observed, object.GetGeneration())
	}
	return nil
}
