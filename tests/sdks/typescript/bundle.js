// Bundles the workflows once, at build time: done by each worker at its start, it would take seconds of a core each.
const { writeFileSync } = require("node:fs");
const { bundleWorkflowCode } = require("@temporalio/worker");

bundleWorkflowCode({ workflowsPath: require.resolve("./workflows.js") }).then(({ code }) => {
  writeFileSync("workflows.bundle.js", code);
});
