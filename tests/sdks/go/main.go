// A worker of the Go SDK with the same script as tests/real/workers/temporal_worker.py.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// What every slot needs for a moment, and one activity holds: a lease of a device, a lock of a pool of connections.
var lease sync.RWMutex

// leased is a supplier of slots that asks for the lease first. ReserveSlot is where the SDK runs the user's code between
// two polls, and it waits for as long as that code takes: pollers are then there, their connection is open, the heartbeat
// goes on, and no task is taken.
type leased struct {
	worker.SlotSupplier
}

func (s leased) ReserveSlot(ctx context.Context, info worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	lease.RLock()
	lease.RUnlock()
	return s.SlotSupplier.ReserveSlot(ctx, info)
}

func (s leased) TryReserveSlot(info worker.SlotReservationInfo) *worker.SlotPermit {
	if !lease.TryRLock() {
		return nil
	}
	lease.RUnlock()
	return s.SlotSupplier.TryReserveSlot(info)
}

// unbounded is the same without a number of slots, as the resource-based suppliers of the SDK are.
type unbounded struct {
	leased
}

func (unbounded) MaxSlots() int { return 0 }

func supplier(slots int, bounded bool) (worker.SlotSupplier, error) {
	fixed, err := worker.NewFixedSizeSlotSupplier(slots)
	if err != nil {
		return nil, err
	}
	if bounded {
		return leased{fixed}, nil
	}
	return unbounded{leased{fixed}}, nil
}

func pause(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

// wait is long work done right.
func wait(ctx context.Context, seconds float64) (string, error) {
	select {
	case <-time.After(pause(seconds)):
		return "waited", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// block keeps the lease.
func block(_ context.Context, seconds float64) (string, error) {
	lease.Lock()
	fmt.Println("blocking")
	defer lease.Unlock()
	time.Sleep(pause(seconds))
	return "blocked", nil
}

func calls(name string) func(workflow.Context, float64) (string, error) {
	return func(ctx workflow.Context, seconds float64) (string, error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Hour})
		var result string
		err := workflow.ExecuteActivity(ctx, name, seconds).Get(ctx, &result)
		return result, err
	}
}

// quick is made of workflow tasks alone: a timer and the end.
func quick(ctx workflow.Context, seconds float64) (string, error) {
	return "quick", workflow.Sleep(ctx, pause(seconds))
}

// quiet keeps to what is wrong.
type quiet struct{}

func (quiet) Debug(string, ...any)           {}
func (quiet) Info(string, ...any)            {}
func (quiet) Warn(text string, more ...any)  { log.Println("WARN", text, more) }
func (quiet) Error(text string, more ...any) { log.Println("ERROR", text, more) }

type options struct {
	address, namespace, queue, identity, heartbeat, slots, serves, metrics string
	activities                                                             int
	grace                                                                  float64
}

func read() options {
	var o options
	flag.StringVar(&o.address, "address", "", "host and port")
	flag.StringVar(&o.namespace, "namespace", "default", "")
	flag.StringVar(&o.queue, "queue", "", "")
	flag.StringVar(&o.identity, "identity", "", "default: the SDK's own, pid@host@")
	flag.StringVar(&o.heartbeat, "heartbeat", "60", "seconds; 'stock' leaves the SDK's default, 'off' sends none")
	flag.StringVar(&o.slots, "slots", "fixed", "'fixed', or 'unbounded': a supplier that names no maximum")
	flag.StringVar(&o.serves, "serves", "all", "'all', or 'activities'")
	flag.StringVar(&o.metrics, "metrics", "", "host:port at which the SDK shows its own metrics")
	flag.IntVar(&o.activities, "activities", 100, "activity slots")
	flag.Float64Var(&o.grace, "grace", 2, "seconds that running activities get at SIGTERM")
	flag.Parse()
	return o
}

// measured is where the SDK's own metrics go, as its documentation has it for Prometheus; nowhere without an address.
func measured(address string) (client.MetricsHandler, error) {
	if address == "" {
		return nil, nil
	}
	exporter, err := prometheus.New()
	if err != nil {
		return nil, err
	}
	meter := metric.NewMeterProvider(metric.WithReader(exporter)).Meter("temporal")
	go func() { log.Fatal(http.ListenAndServe(address, promhttp.Handler())) }()
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: meter}), nil
}

func interval(heartbeat string) (time.Duration, error) {
	switch heartbeat {
	case "stock":
		return 0, nil
	case "off":
		return -1, nil
	}
	seconds, err := strconv.ParseFloat(heartbeat, 64)
	return pause(seconds), err
}

func tuner(o options) (worker.WorkerTuner, error) {
	bounded := o.slots != "unbounded"
	workflows, one := supplier(100, bounded)
	activities, two := supplier(o.activities, bounded)
	locals, three := worker.NewFixedSizeSlotSupplier(100)
	nexus, four := worker.NewFixedSizeSlotSupplier(100)
	sessions, five := worker.NewFixedSizeSlotSupplier(100)
	if err := errors.Join(one, two, three, four, five); err != nil {
		return nil, err
	}
	return worker.NewCompositeTuner(worker.CompositeTunerOptions{
		WorkflowSlotSupplier:        workflows,
		ActivitySlotSupplier:        activities,
		LocalActivitySlotSupplier:   locals,
		NexusSlotSupplier:           nexus,
		SessionActivitySlotSupplier: sessions,
	})
}

func run() error {
	o := read()
	beats, err := interval(o.heartbeat)
	if err != nil {
		return err
	}
	metrics, err := measured(o.metrics)
	if err != nil {
		return err
	}
	connection, err := client.Dial(client.Options{
		HostPort:                o.address,
		Namespace:               o.namespace,
		Identity:                o.identity,
		WorkerHeartbeatInterval: beats,
		Logger:                  quiet{},
		MetricsHandler:          metrics,
	})
	if err != nil {
		return err
	}
	defer connection.Close()
	slots, err := tuner(o)
	if err != nil {
		return err
	}
	serving := worker.New(connection, o.queue, worker.Options{
		Tuner:                 slots,
		WorkerStopTimeout:     pause(o.grace),
		DisableWorkflowWorker: o.serves == "activities",
	})
	if o.serves == "all" {
		for _, name := range []string{"wait", "block"} {
			serving.RegisterWorkflowWithOptions(calls(name), workflow.RegisterOptions{Name: name})
		}
		serving.RegisterWorkflowWithOptions(calls("nobody"), workflow.RegisterOptions{Name: "unregistered"})
		serving.RegisterWorkflowWithOptions(quick, workflow.RegisterOptions{Name: "quick"})
	}
	serving.RegisterActivityWithOptions(wait, activity.RegisterOptions{Name: "wait"})
	serving.RegisterActivityWithOptions(block, activity.RegisterOptions{Name: "block"})
	if err := serving.Start(); err != nil {
		return err
	}
	fmt.Printf("polling %s\n", o.queue)
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, syscall.SIGTERM, os.Interrupt)
	<-leave
	fmt.Println("leaving")
	serving.Stop()
	fmt.Println("left")
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
