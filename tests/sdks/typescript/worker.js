// A worker of the TypeScript SDK with the same script as tests/real/workers/temporal_worker.py.
const { parseArgs } = require("node:util");
const path = require("node:path");
const { Context } = require("@temporalio/activity");
const { DefaultLogger, NativeConnection, Runtime, Worker } = require("@temporalio/worker");

const { values: options } = parseArgs({
  options: {
    address: { type: "string" },
    namespace: { type: "string", default: "default" },
    queue: { type: "string" },
    // Default: the SDK's own, pid@host.
    identity: { type: "string" },
    // Seconds; "stock" leaves the SDK's default, "off" sends none.
    heartbeat: { type: "string", default: "60" },
    activities: { type: "string", default: "100" },
    // "all" or "activities".
    serves: { type: "string", default: "all" },
    // Seconds that running activities get at SIGTERM.
    grace: { type: "string", default: "2" },
  },
});

const activities = {
  // Long work done right: the loop stays free.
  async wait(seconds) {
    await Context.current().sleep(seconds * 1000);
    return "waited";
  },
  // The commonest zombie of Node: synchronous work in an activity stops the event loop of its worker.
  async block(seconds) {
    console.log("blocking");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
    return "blocked";
  },
};

function heartbeat() {
  if (options.heartbeat === "stock") return {};
  return { workerHeartbeatInterval: options.heartbeat === "off" ? 0 : Number(options.heartbeat) * 1000 };
}

async function main() {
  Runtime.install({ logger: new DefaultLogger("WARN"), ...heartbeat() });
  const connection = await NativeConnection.connect({ address: options.address });
  const worker = await Worker.create({
    connection,
    namespace: options.namespace,
    taskQueue: options.queue,
    ...(options.identity && { identity: options.identity }),
    ...(options.serves === "all" && { workflowBundle: { codePath: path.join(__dirname, "workflows.bundle.js") } }),
    activities,
    maxConcurrentActivityTaskExecutions: Number(options.activities),
    shutdownGraceTime: Number(options.grace) * 1000,
  });
  console.log(`polling ${options.queue}`);
  await worker.run(); // Until SIGTERM, which the SDK handles.
  console.log("left");
  await connection.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
