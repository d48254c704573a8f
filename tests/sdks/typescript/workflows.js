// The workflows of tests/real/workers/temporal_worker.py.
const { proxyActivities, sleep } = require("@temporalio/workflow");

const activities = proxyActivities({ startToCloseTimeout: "1 hour" });

exports.wait = async (seconds) => activities.wait(seconds);

exports.block = async (seconds) => activities.block(seconds);

// Workflow tasks alone: a timer and the end.
exports.quick = async (seconds) => {
  await sleep(Math.max(1, seconds * 1000));
  return "quick";
};
