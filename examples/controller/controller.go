package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	workers       = 2
	firstRetry    = 100 * time.Millisecond
	longestRetry  = 30 * time.Second
	callTimeout   = 10 * time.Second
	resyncPeriod  = 10 * time.Minute
	phaseReady    = "Ready"
	phaseFailed   = "Failed"
	eventNormal   = "Normal"
	eventWarning  = "Warning"
	reasonCreated = "Created"
	reasonUpdated = "Updated"
	reasonFailed  = "Failed"
)

// Controller keeps one ConfigMap per Greeting.
//
//	Greeting ──watch──▶ queue ─▶ reconcile ─▶ ConfigMap, status, event
//	ConfigMap ─watch──▶   ▲ (by its name: it is the Greeting's)
//
// The queue's key is the only input of reconcile, which reads the world and moves it one step towards the spec. A key
// is never worked on twice at once; one that fails comes back later and later.
type Controller struct {
	client     dynamic.Interface
	log        *slog.Logger
	queue      workqueue.TypedRateLimitingInterface[cache.ObjectName]
	greetings  cache.SharedIndexInformer
	configMaps cache.SharedIndexInformer
	synced     atomic.Bool
}

func NewController(client dynamic.Interface, log *slog.Logger) (*Controller, error) {
	c := &Controller{
		client: client,
		log:    log,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](firstRetry, longestRetry),
		),
		greetings:  newInformer(client, greetingResource, ""),
		configMaps: newInformer(client, configMapResource, managedByLabel+"="+managedByValue),
	}
	for _, informer := range []cache.SharedIndexInformer{c.greetings, c.configMaps} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.enqueue,
			UpdateFunc: func(_, object any) { c.enqueue(object) },
			DeleteFunc: c.enqueue,
		})
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func newInformer(client dynamic.Interface, resource schema.GroupVersionResource, selector string) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = selector
			return client.Resource(resource).List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = selector
			return client.Resource(resource).Watch(ctx, options)
		},
	}, &unstructured.Unstructured{}, resyncPeriod, cache.Indexers{})
}

func (c *Controller) enqueue(object any) {
	key, err := cache.DeletionHandlingObjectToName(object)
	if err != nil {
		c.log.Error("an object without a name", "error", err)
		return
	}
	c.queue.Add(key)
}

// Synced is true once everything that existed at the start has been seen.
func (c *Controller) Synced() bool { return c.synced.Load() }

// Run works until the context ends; what is being reconciled then is finished first.
func (c *Controller) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer c.queue.ShutDown()
	running.Go(func() { c.greetings.RunWithContext(ctx) })
	running.Go(func() { c.configMaps.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), c.greetings.HasSynced, c.configMaps.HasSynced) {
		return
	}
	c.synced.Store(true)
	c.log.Info("ready", "greetings", len(c.greetings.GetStore().ListKeys()))
	for range workers {
		running.Go(func() {
			for c.next() {
			}
		})
	}
	<-ctx.Done()
}

func (c *Controller) next() bool {
	key, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(key)
	// Not the context of Run: a signal lets the calls under way come to their end.
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := c.reconcile(ctx, key)
	switch {
	case err == nil:
		c.queue.Forget(key)
	case apierrors.IsConflict(err):
		// Our copy was old. The newer one is on its way through the watch.
		c.queue.AddRateLimited(key)
	default:
		c.log.Error("cannot reconcile, trying again later", "greeting", key, "error", err)
		c.queue.AddRateLimited(key)
	}
	return true
}

func (c *Controller) reconcile(ctx context.Context, key cache.ObjectName) error {
	cached, exists, err := c.greetings.GetStore().GetByKey(key.String())
	if err != nil || !exists {
		return err // The finalizer saw to it that nothing was left when it went.
	}
	object := cached.(*unstructured.Unstructured).DeepCopy()
	greeting, err := greetingFrom(object)
	if err != nil {
		return err
	}
	if greeting.DeletionTimestamp != nil {
		return c.finalize(ctx, object, greeting)
	}

	// The finalizer comes before the first effect outside.
	if !slices.Contains(greeting.Finalizers, finalizer) {
		object.SetFinalizers(append(greeting.Finalizers, finalizer))
		object, err = c.client.Resource(greetingResource).Namespace(key.Namespace).Update(ctx, object, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("add the finalizer to Greeting %s: %w", key, err)
		}
	}

	status := GreetingStatus{Phase: phaseReady, ObservedGeneration: greeting.Generation, ConfigMap: greeting.Name}
	ensureError := c.ensureConfigMap(ctx, greeting)
	if apierrors.IsConflict(ensureError) {
		return ensureError
	}
	if ensureError != nil {
		status = GreetingStatus{Phase: phaseFailed, ObservedGeneration: greeting.Generation, Message: ensureError.Error()}
	}
	if status != greeting.Status {
		object.Object["status"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
		if err != nil {
			return err
		}
		_, err = c.client.Resource(greetingResource).Namespace(key.Namespace).UpdateStatus(ctx, object, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("write the status of Greeting %s: %w", key, err)
		}
		if ensureError != nil {
			c.event(ctx, greeting, eventWarning, reasonFailed, ensureError.Error())
		}
	}
	return ensureError
}

// ensureConfigMap asks the API server and not the cache: a ConfigMap that lost its label, or never had it, is not in there.
func (c *Controller) ensureConfigMap(ctx context.Context, greeting *Greeting) error {
	wanted, err := configMapFor(greeting)
	if err != nil {
		return err
	}
	configMaps := c.client.Resource(configMapResource).Namespace(greeting.Namespace)
	found, err := configMaps.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if _, err := configMaps.Create(ctx, wanted, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create ConfigMap %s/%s: %w", greeting.Namespace, wanted.GetName(), err)
		}
		c.event(ctx, greeting, eventNormal, reasonCreated, "created ConfigMap "+wanted.GetName())
		return nil
	}
	if err != nil {
		return fmt.Errorf("get ConfigMap %s/%s: %w", greeting.Namespace, wanted.GetName(), err)
	}
	if !isOwnedBy(found, greeting.UID) {
		return fmt.Errorf("ConfigMap %s/%s exists and is not ours: delete it or choose another name for the Greeting", greeting.Namespace, wanted.GetName())
	}
	if upToDate(found, wanted) {
		return nil
	}
	found.Object["data"] = wanted.Object["data"]
	labels := found.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[managedByLabel] = managedByValue
	found.SetLabels(labels)
	if _, err := configMaps.Update(ctx, found, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update ConfigMap %s/%s: %w", greeting.Namespace, wanted.GetName(), err)
	}
	c.event(ctx, greeting, eventNormal, reasonUpdated, "updated ConfigMap "+wanted.GetName())
	return nil
}

// finalize removes the ConfigMap, then lets the Greeting go.
func (c *Controller) finalize(ctx context.Context, object *unstructured.Unstructured, greeting *Greeting) error {
	if !slices.Contains(greeting.Finalizers, finalizer) {
		return nil
	}
	configMaps := c.client.Resource(configMapResource).Namespace(greeting.Namespace)
	found, err := configMaps.Get(ctx, greeting.Name, metav1.GetOptions{})
	if err == nil && isOwnedBy(found, greeting.UID) {
		uid := found.GetUID()
		err = configMaps.Delete(ctx, greeting.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete ConfigMap %s/%s: %w", greeting.Namespace, greeting.Name, err)
	}
	object.SetFinalizers(slices.DeleteFunc(greeting.Finalizers, func(name string) bool { return name == finalizer }))
	_, err = c.client.Resource(greetingResource).Namespace(greeting.Namespace).Update(ctx, object, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil // The key came twice, and the first time did it.
	}
	if err != nil {
		return fmt.Errorf("remove the finalizer of Greeting %s/%s: %w", greeting.Namespace, greeting.Name, err)
	}
	c.log.Info("removed", "greeting", greeting.Namespace+"/"+greeting.Name)
	return nil
}

// event is for people: losing one is logged and changes nothing.
func (c *Controller) event(ctx context.Context, greeting *Greeting, kind, reason, message string) {
	c.log.Info(message, "greeting", greeting.Namespace+"/"+greeting.Name, "reason", reason)
	now := time.Now().UTC().Format(time.RFC3339)
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Event",
		"involvedObject": map[string]any{
			"apiVersion": greetingResource.GroupVersion().String(),
			"kind":       greetingKind,
			"namespace":  greeting.Namespace,
			"name":       greeting.Name,
			"uid":        string(greeting.UID),
		},
		"type":           kind,
		"reason":         reason,
		"message":        message,
		"source":         map[string]any{"component": managedByValue},
		"firstTimestamp": now,
		"lastTimestamp":  now,
		"count":          int64(1),
	}}
	event.SetNamespace(greeting.Namespace)
	event.SetGenerateName(greeting.Name + ".")
	if _, err := c.client.Resource(eventResource).Namespace(greeting.Namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		c.log.Warn("cannot write an event", "greeting", greeting.Namespace+"/"+greeting.Name, "error", err)
	}
}
