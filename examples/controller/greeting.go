package main

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	greetingResource  = schema.GroupVersionResource{Group: "examples.seatrial.dev", Version: "v1", Resource: "greetings"}
	configMapResource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	eventResource     = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

const (
	greetingKind = "Greeting"

	// The finalizer, and not an owner reference alone, removes the ConfigMap: a bare control plane has no garbage collector.
	finalizer = "examples.seatrial.dev/configmap"

	// managedByLabel selects the ConfigMaps that the controller watches.
	managedByLabel = "app.kubernetes.io/managed-by"
	managedByValue = "greeting-controller"
)

// Greeting is what deploy/crd.yaml describes. Objects are read into it; they are written as they were read plus the
// change, so that a field of a later version of the CRD is not lost.
type Greeting struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              GreetingSpec   `json:"spec"`
	Status            GreetingStatus `json:"status,omitempty"`
}

type GreetingSpec struct {
	// Name is who is greeted.
	Name string `json:"name"`
	// Language is the language's two-letter code: one of the CRD's enum.
	Language string `json:"language"`
}

type GreetingStatus struct {
	// Phase is Ready or Failed.
	Phase string `json:"phase,omitempty"`
	// ObservedGeneration is the generation of the spec that Phase speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ConfigMap is the name of the ConfigMap that holds the text.
	ConfigMap string `json:"configMap,omitempty"`
	// Message says why Phase is Failed.
	Message string `json:"message,omitempty"`
}

func greetingFrom(object *unstructured.Unstructured) (*Greeting, error) {
	greeting := &Greeting{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, greeting); err != nil {
		return nil, fmt.Errorf("read Greeting %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return greeting, nil
}

// The CRD's enum and this table are the same list.
var texts = map[string]string{
	"de": "Hallo, %s!",
	"en": "Hello, %s!",
	"es": "¡Hola, %s!",
	"fr": "Bonjour, %s !",
	"ja": "こんにちは、%sさん!",
}

func text(spec GreetingSpec) (string, error) {
	format, known := texts[spec.Language]
	if !known {
		return "", fmt.Errorf("no text in language %q", spec.Language)
	}
	return fmt.Sprintf(format, spec.Name), nil
}

// configMapFor is the ConfigMap that a Greeting asks for. It has the Greeting's name.
func configMapFor(greeting *Greeting) (*unstructured.Unstructured, error) {
	greetingText, err := text(greeting.Spec)
	if err != nil {
		return nil, err
	}
	wanted := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"data": map[string]any{
			"greeting": greetingText,
			"language": greeting.Spec.Language,
		},
	}}
	wanted.SetNamespace(greeting.Namespace)
	wanted.SetName(greeting.Name)
	wanted.SetLabels(map[string]string{managedByLabel: managedByValue})
	wanted.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: greetingResource.GroupVersion().String(),
		Kind:       greetingKind,
		Name:       greeting.Name,
		UID:        greeting.UID,
	}})
	return wanted, nil
}

// isOwnedBy tells our ConfigMap from one of the same name that somebody else made.
func isOwnedBy(object *unstructured.Unstructured, uid types.UID) bool {
	for _, owner := range object.GetOwnerReferences() {
		if owner.UID == uid {
			return true
		}
	}
	return false
}

// upToDate looks at the text and at our label. Labels and annotations that others added are theirs.
func upToDate(found, wanted *unstructured.Unstructured) bool {
	have, _, err := unstructured.NestedStringMap(found.Object, "data")
	if err != nil {
		return false
	}
	want, _, _ := unstructured.NestedStringMap(wanted.Object, "data")
	if len(have) != len(want) || found.GetLabels()[managedByLabel] != managedByValue {
		return false
	}
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}
