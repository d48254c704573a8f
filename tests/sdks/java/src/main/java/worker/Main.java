package worker;

import io.temporal.activity.ActivityInterface;
import io.temporal.activity.ActivityMethod;
import io.temporal.activity.ActivityOptions;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowClientOptions;
import io.temporal.serviceclient.WorkflowServiceStubs;
import io.temporal.serviceclient.WorkflowServiceStubsOptions;
import io.temporal.worker.Worker;
import io.temporal.worker.WorkerFactory;
import io.temporal.worker.WorkerOptions;
import io.temporal.worker.tuning.CompositeTuner;
import io.temporal.worker.tuning.FixedSizeSlotSupplier;
import io.temporal.worker.tuning.SlotInfo;
import io.temporal.worker.tuning.SlotMarkUsedContext;
import io.temporal.worker.tuning.SlotPermit;
import io.temporal.worker.tuning.SlotReleaseContext;
import io.temporal.worker.tuning.SlotReserveContext;
import io.temporal.worker.tuning.SlotSupplier;
import io.temporal.worker.tuning.SlotSupplierFuture;
import io.temporal.workflow.Workflow;
import io.temporal.workflow.WorkflowInterface;
import io.temporal.workflow.WorkflowMethod;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** A worker of the Java SDK with the same script as tests/real/workers/temporal_worker.py. */
public final class Main {
  private Main() {}

  /** What every slot needs for a moment, and one activity holds: a lease of a device, a connection of a pool. */
  private static final Semaphore LEASE = new Semaphore(1, true);

  /**
   * A supplier of slots that asks for the lease first. reserveSlot is where the SDK runs the user's code between two polls,
   * and it waits for as long as that code takes: the threads of the pollers are there, the connection is open, the heartbeat
   * goes on, and no task is taken.
   */
  private static class Leased<S extends SlotInfo> implements SlotSupplier<S> {
    private final FixedSizeSlotSupplier<S> slots;
    private final boolean bounded;

    Leased(int slots, boolean bounded) {
      this.slots = new FixedSizeSlotSupplier<>(slots);
      this.bounded = bounded;
    }

    @Override
    public SlotSupplierFuture reserveSlot(SlotReserveContext<S> context) throws Exception {
      LEASE.acquire();
      LEASE.release();
      return slots.reserveSlot(context);
    }

    @Override
    public Optional<SlotPermit> tryReserveSlot(SlotReserveContext<S> context) {
      return LEASE.availablePermits() == 0 ? Optional.empty() : slots.tryReserveSlot(context);
    }

    @Override
    public void markSlotUsed(SlotMarkUsedContext<S> context) {
      slots.markSlotUsed(context);
    }

    @Override
    public void releaseSlot(SlotReleaseContext<S> context) {
      slots.releaseSlot(context);
    }

    @Override
    public Optional<Integer> getMaximumSlots() {
      return bounded ? slots.getMaximumSlots() : Optional.empty();
    }
  }

  @ActivityInterface
  public interface Activities {
    @ActivityMethod(name = "wait")
    String hold(double seconds);

    @ActivityMethod(name = "block")
    String block(double seconds);
  }

  /** The activities. */
  public static final class Work implements Activities {
    @Override
    public String hold(double seconds) {
      sleep(seconds);
      return "waited";
    }

    @Override
    public String block(double seconds) {
      LEASE.acquireUninterruptibly();
      System.out.println("blocking");
      try {
        sleep(seconds);
      } finally {
        LEASE.release();
      }
      return "blocked";
    }

    private static void sleep(double seconds) {
      try {
        TimeUnit.MILLISECONDS.sleep((long) (seconds * 1000));
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static Activities activities() {
    return Workflow.newActivityStub(
        Activities.class, ActivityOptions.newBuilder().setStartToCloseTimeout(Duration.ofHours(1)).build());
  }

  @WorkflowInterface
  public interface Wait {
    @WorkflowMethod(name = "wait")
    String run(double seconds);
  }

  /** One activity that takes its time. */
  public static final class WaitOnce implements Wait {
    @Override
    public String run(double seconds) {
      return activities().hold(seconds);
    }
  }

  @WorkflowInterface
  public interface Block {
    @WorkflowMethod(name = "block")
    String run(double seconds);
  }

  /** One activity that keeps the lease. */
  public static final class BlockOnce implements Block {
    @Override
    public String run(double seconds) {
      return activities().block(seconds);
    }
  }

  @WorkflowInterface
  public interface Quick {
    @WorkflowMethod(name = "quick")
    String run(double seconds);
  }

  /** Workflow tasks alone: a timer and the end. */
  public static final class QuickOnce implements Quick {
    @Override
    public String run(double seconds) {
      Workflow.sleep(Duration.ofMillis((long) (seconds * 1000)));
      return "quick";
    }
  }

  public static void main(String[] args) throws InterruptedException {
    Map<String, String> given = new HashMap<>();
    for (int at = 0; at + 1 < args.length; at += 2) {
      given.put(args[at].replaceFirst("^--", ""), args[at + 1]);
    }
    double grace = Double.parseDouble(given.getOrDefault("grace", "2"));
    WorkflowServiceStubs service =
        WorkflowServiceStubs.newServiceStubs(
            WorkflowServiceStubsOptions.newBuilder().setTarget(given.get("address")).build());
    WorkflowClientOptions.Builder client =
        WorkflowClientOptions.newBuilder().setNamespace(given.getOrDefault("namespace", "default"));
    if (given.containsKey("identity")) {
      client.setIdentity(given.get("identity")); // Default: the SDK's own, pid@host.
    }
    // Seconds; "stock" leaves the SDK's default, "off" sends none.
    String heartbeat = given.getOrDefault("heartbeat", "60");
    if (heartbeat.equals("off")) {
      client.setWorkerHeartbeatInterval(Duration.ofSeconds(-1));
    } else if (!heartbeat.equals("stock")) {
      client.setWorkerHeartbeatInterval(Duration.ofMillis((long) (Double.parseDouble(heartbeat) * 1000)));
    }
    boolean bounded = !given.getOrDefault("slots", "fixed").equals("unbounded");
    int slots = Integer.parseInt(given.getOrDefault("activities", "100"));
    WorkerFactory factory = WorkerFactory.newInstance(WorkflowClient.newInstance(service, client.build()));
    Worker worker =
        factory.newWorker(
            given.get("queue"),
            WorkerOptions.newBuilder()
                .setWorkerTuner(
                    new CompositeTuner(
                        new Leased<>(100, bounded),
                        new Leased<>(slots, bounded),
                        new FixedSizeSlotSupplier<>(100),
                        new FixedSizeSlotSupplier<>(100)))
                .build());
    if (given.getOrDefault("serves", "all").equals("all")) {
      worker.registerWorkflowImplementationTypes(WaitOnce.class, BlockOnce.class, QuickOnce.class);
    }
    worker.registerActivitiesImplementations(new Work());
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  System.out.println("leaving");
                  factory.shutdown();
                  factory.awaitTermination((long) (grace * 1000), TimeUnit.MILLISECONDS);
                  System.out.println("left");
                }));
    factory.start();
    System.out.println("polling " + given.get("queue"));
    Thread.currentThread().join();
  }
}
