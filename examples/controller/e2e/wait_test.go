package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const mergePatch = types.MergePatchType

// check says what is still wrong with an object; it gets nil when there is none.
type check func(object *unstructured.Unstructured) error

func isGone(object *unstructured.Unstructured) error {
	if object != nil {
		return errors.New("it is still there")
	}
	return nil
}

// eventually watches one object until the check is content, and says at the end of its patience what it saw last.
// It returns the object as it was then.
func (s *scenario) eventually(resource schema.GroupVersionResource, name, what string, ok check) *unstructured.Unstructured {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last *unstructured.Unstructured
	wrong := errors.New("the API has not answered")
	for ctx.Err() == nil {
		err := follow(ctx, resource, name, func(object *unstructured.Unstructured) bool {
			last, wrong = object, ok(object)
			return wrong == nil
		})
		if wrong == nil {
			return last
		}
		if err != nil && ctx.Err() == nil {
			wrong = err
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
			}
		}
	}
	s.Fatalf("%s: not within %s\n%s %s: %v\nlast seen: %s\nevents of %s:\n%s\nthe controller's log: %s",
		what, patience, resource.Resource, name, wrong, show(last), name, eventsOf(name), logHint())
	return nil
}

// follow shows the object as it is, then as each change leaves it, until it was enough or the watch ends.
func follow(ctx context.Context, resource schema.GroupVersionResource, name string, enough func(*unstructured.Unstructured) bool) error {
	objects := client.Resource(resource).Namespace(namespace)
	if resource == crds {
		objects = client.Resource(resource)
	}
	selector := "metadata.name=" + name
	list, err := objects.List(ctx, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return err
	}
	var now *unstructured.Unstructured
	if len(list.Items) > 0 {
		now = &list.Items[0]
	}
	if enough(now) {
		return nil
	}
	changes, err := objects.Watch(ctx, metav1.ListOptions{FieldSelector: selector, ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		return err
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if change.Type == watch.Error {
			return apierrors.FromObject(change.Object)
		}
		now := change.Object.(*unstructured.Unstructured)
		if change.Type == watch.Deleted {
			now = nil
		}
		if enough(now) {
			return nil
		}
	}
	return nil
}

func show(object *unstructured.Unstructured) string {
	if object == nil {
		return "no such object"
	}
	brief := object.DeepCopy()
	brief.SetManagedFields(nil)
	text, err := json.Marshal(brief.Object)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func logHint() string {
	if hint := os.Getenv("CONTROLLER_LOG"); hint != "" {
		return hint
	}
	return fmt.Sprintf("wherever it runs; in the cluster: %s", "kubectl -n greetings-system logs deployment/greeting-controller")
}
